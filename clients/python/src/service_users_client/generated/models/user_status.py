from enum import StrEnum


class UserStatus(StrEnum):
    ACTIVE = "ACTIVE"
    INVITED = "INVITED"

    def __str__(self) -> str:
        return str(self.value)
