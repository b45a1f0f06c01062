from __future__ import annotations

from reproof.plan.once import once


class Counter:
    def __init__(self, start: int):
        self.count = start

    @once
    def next(self, step: int, *, twice: bool = False) -> int:
        """Count."""
        self.count += step * (1 + twice)
        return self.count

    @once
    def nothing(self) -> None:
        self.count += 1


def test_an_answer_is_kept_for_its_arguments_and_its_object() -> None:
    one, other = Counter(0), Counter(10)
    assert [one.next(1), one.next(1), other.next(1), one.next(2), one.next(1)] == [1, 1, 11, 3, 1]
    assert one.next(1, twice=True) == 5
    assert one.next.__doc__ == "Count."


def test_none_is_an_answer_too() -> None:
    one = Counter(0)
    one.nothing()
    one.nothing()
    assert one.count == 1
