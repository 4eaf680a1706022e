"""The stack, deployed to an emulator of AWS as an operator deploys it: ``make deploy-test``.

Each file has an emulator of its own, so that two of them run at once (``--dist loadfile``).
"""
