"""Service Users: API-only identities for machines, run by people, on record.

``rules`` decides and knows no AWS; ``store`` keeps what was decided in DynamoDB and
decides nothing; ``http`` translates; ``mail`` tells the Administrators. Imports run one
way: ``http`` -> ``rules`` <- ``store``, with ``app.py`` on top.
"""
