from enum import StrEnum


class KeyType(StrEnum):
    MONITORING = "MONITORING"
    PROVISIONING = "PROVISIONING"
    PROVISIONING_READONLY = "PROVISIONING_READONLY"
    USER_MANAGEMENT = "USER_MANAGEMENT"

    def __str__(self) -> str:
        return str(self.value)

    @classmethod
    def _missing_(cls, value: object) -> "KeyType | None":
        if not isinstance(value, str):
            return None
        made = str.__new__(cls, value)
        made._name_ = made._value_ = value
        return made
