from enum import StrEnum


class Role(StrEnum):
    CLUSTER_ADMIN = "CLUSTER_ADMIN"
    OWNER = "OWNER"
    READ_ONLY = "READ_ONLY"

    def __str__(self) -> str:
        return str(self.value)
