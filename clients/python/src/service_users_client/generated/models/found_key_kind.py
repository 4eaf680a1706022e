from enum import StrEnum


class FoundKeyKind(StrEnum):
    SERVICE_USER = "SERVICE_USER"
    USER = "USER"

    def __str__(self) -> str:
        return str(self.value)
