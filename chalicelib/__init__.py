"""Service Users: API-only identities for machines, managed by people, with an audit trail.

``rules`` decides who may do what and knows no AWS; ``store`` keeps the results in DynamoDB, on the conditions
that the rules state; ``http`` translates; ``mail`` notifies people. Imports run one way: ``http`` ->
``rules`` <- ``store``, with ``app.py`` on top.
"""
