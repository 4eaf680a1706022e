from enum import StrEnum


class InvitationState(StrEnum):
    EXPIRED = "EXPIRED"
    OPEN = "OPEN"
    WITHDRAWN = "WITHDRAWN"

    def __str__(self) -> str:
        return str(self.value)
