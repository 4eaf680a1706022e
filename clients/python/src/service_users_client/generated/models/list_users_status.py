from enum import StrEnum


class ListUsersStatus(StrEnum):
    ACTIVE = "ACTIVE"
    INVITED = "INVITED"

    def __str__(self) -> str:
        return str(self.value)
