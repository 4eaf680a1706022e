from enum import StrEnum


class ListServiceUsersSort(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    USERNAME = "username"

    def __str__(self) -> str:
        return str(self.value)
