"""See the package."""


class ScheduleError(Exception): ...
