"""The budgets at their highest, for tests and benchmarks, which use up in minutes what lasts people months.

It imports nothing: the tests in Chromium run in an environment without the project's requirements.
"""

HIGHEST = {
    "KEY_CHANGES_PER_HOUR": "3600",
    "KEY_CHANGE_BURST": "1000",
    "ACCOUNT_CHANGES_PER_MINUTE": "100000",
    "INVITATION_PAUSE_SECONDS": "0",
    "INVITATIONS_PER_DAY": "1000",
    "ACCOUNT_INVITATIONS_PER_DAY": "100000",
    "PASSKEY_CODE_PAUSE_SECONDS": "0",
    "PASSKEY_CODES_PER_DAY": "1000",
    "KEY_SEARCHES_PER_MINUTE": "100000",
    "LEAK_REPORTS_PER_MINUTE": "100000",
    "MAILS_PER_HOUR": "1000",
}
"""Environment variables of the functions (``chalicelib.rules.limits``). Quotas are not among them."""
