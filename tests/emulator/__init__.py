"""The stack, deployed to an emulator of AWS as an operator deploys it: ``make deploy-test``."""
