from enum import StrEnum


class HealthCheck(StrEnum):
    STATE = "state"

    def __str__(self) -> str:
        return str(self.value)
