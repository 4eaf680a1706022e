from enum import StrEnum


class ActivatedStatus(StrEnum):
    ACTIVE = "ACTIVE"
    INVITED = "INVITED"

    def __str__(self) -> str:
        return str(self.value)
