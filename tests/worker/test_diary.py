"""What interpreters say while they start."""

from pathlib import Path

from reconciler.worker.diary import LARGEST_DIARY, Diary


def test_a_diary_that_grew_large_is_put_aside_once(tmp_path: Path) -> None:
    file = tmp_path / "zygote.log"
    file.write_bytes(b"x" * (LARGEST_DIARY + 1))
    diary = Diary.begin(file)
    file.write_text("it failed")
    assert (diary.tail(), diary.since) == ("it failed", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["zygote.log", "zygote.previous.log"]
