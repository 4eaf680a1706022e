"""Service Users: API-only identities for machines, managed by people, with an audit trail.

``rules`` decides and knows no AWS; ``store`` keeps the results in DynamoDB and decides nothing; ``http``
translates; ``mail`` notifies people. Imports run one way: ``http`` -> ``rules`` <- ``store``, with ``app.py``
on top.
"""
