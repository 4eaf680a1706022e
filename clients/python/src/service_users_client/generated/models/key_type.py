from enum import StrEnum


class KeyType(StrEnum):
    MONITORING = "MONITORING"
    PROVISIONING = "PROVISIONING"
    PROVISIONING_READONLY = "PROVISIONING_READONLY"
    USER_MANAGEMENT = "USER_MANAGEMENT"

    def __str__(self) -> str:
        return str(self.value)
