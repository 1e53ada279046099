"""What processes tell each other through the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from torch.distributed import PrefixStore, TCPStore

from mmrs.apis.scene import rank_group
from mmrs.apis.scene.rank_group import RankError, RankGroup


@pytest.fixture
def store() -> Iterator[PrefixStore]:
    yield PrefixStore("x", TCPStore("127.0.0.1", 0, 1, True, timeout=timedelta(seconds=10)))


def test_texts_of_any_length_arrive(store: PrefixStore) -> None:
    one, other = RankGroup(store, 0, 2), RankGroup(store, 1, 2)
    for key, text in (("none", ""), ("short", "é 1 中"), ("long", "0123456789 中" * 1_000_000)):
        one.put(key, text)
        assert other.get(key) == text


def test_waiting_ends_with_what_arrives_or_with_an_error(store: PrefixStore) -> None:
    one, other = RankGroup(store, 0, 2), RankGroup(store, 1, 2)
    threading.Timer(0.2, lambda: one.put("late", "value")).start()
    assert other.get("late") == "value"

    def fail() -> None:
        other._error = "boom"

    threading.Timer(0.2, fail).start()
    with pytest.raises(RankError, match=r"^boom$"):
        other.get("never")


def test_the_first_error_counts(
    store: PrefixStore, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(rank_group, "BEAT_SECONDS", 0.02)
    ended = []

    def work(rank: int, seconds: float) -> None:
        try:
            with RankGroup(store, rank, 3) as group:
                for _ in range(int(seconds * 100)):
                    group.check()
                    time.sleep(0.01)
                raise ValueError(f"of {rank}")
        except SystemExit as end:
            ended.append(end.code)

    threads = [threading.Thread(target=work, args=each) for each in ((0, 5), (1, 5), (2, 0.3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [1, 1, 1]
    told = capsys.readouterr().err.splitlines()
    assert told == ["error: internal error in process 2: ValueError: of 2"]


def test_progress_is_of_all(store: PrefixStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_group, "BEAT_SECONDS", 0.02)
    shown: list[tuple[int, int]] = []

    def work(rank: int) -> None:
        with RankGroup(store, rank, 2) as group:
            if rank == 0:
                group.progress = lambda done, total: shown.append((done, total))
                group.planned = 30
            for done in range(1, 11):
                group.report(done, 10 + 10 * rank)
                time.sleep(0.03)

    threads = [threading.Thread(target=work, args=[rank]) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown[-1] == (30, 30)
    assert {total for _, total in shown} == {30}
    done = [done for done, _ in shown]
    assert done == sorted(done) and max(done[:-1]) > 10
