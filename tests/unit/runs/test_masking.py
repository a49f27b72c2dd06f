"""Secrets stay out of what a run writes down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocket_exec.runs.masking import masked_command, masked_text, masked_value


@pytest.mark.parametrize(
    "text",
    [
        "https://me:hunter2@host/f.root",
        "root://me:hunter2@host//store/f.root",
        "https://me:p@hunter2@host/f",
        "https://host/f?authz=Bearer%20hunter2hunter2",
        "https://host/f?access_token=hunter2&x=1",
        "Authorization: Bearer hunter2hunter2",
        "password=hunter2",
        "--api-key=hunter2",
        "see eyJhbGciOiJI.hunter2.hunter2",
        "s3://b/k?X-Amz-Signature=hunter2",
    ],
)
def test_a_secret_in_a_text_is_hidden(text: str) -> None:
    assert "hunter2" not in masked_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "root://eos.cern.ch//eos/user/a@b/f.root",
        "sorted(x, key=lambda e: e)",
        "me@cern.ch",
        "KeyError: 'Muon_pt'",
        "/a b",
    ],
)
def test_a_text_without_a_secret_stays(text: str) -> None:
    assert masked_text(text) == text


@given(st.text())
def test_masking_twice_is_masking_once(text: str) -> None:
    assert masked_text(masked_text(text)) == masked_text(text)


@pytest.mark.parametrize(
    "key",
    ["password", "tokenpassword", "token", "secret", "key", "access-key", "apiKey", "AWS_SECRET_ACCESS_KEY", "keys"],
)
def test_an_option_whose_name_looks_like_a_credential_is_hidden_at_any_depth(key: str) -> None:
    assert masked_value({"storage": [{key: "hunter2"}]}) == {"storage": [{key: "***"}]}
    assert masked_value("hunter2", key) == "***"
    assert masked_value(["hunter2"], key) == "***"


@pytest.mark.parametrize("key", ["timeout", "keep-alive", "monitoring", "handler", "queue"])
def test_other_options_stay(key: str) -> None:
    assert masked_value({key: [1, "a", {"b": 2.5}]}) == {key: [1, "a", {"b": 2.5}]}


def test_flags_under_a_credentials_name_stay() -> None:
    assert masked_value({"use-token": True, "token": None}) == {"use-token": True, "token": None}


def test_a_flag_without_a_value_hides_no_other_flag() -> None:
    assert masked_command(["r", "--token", "-s", "4"]) == ["r", "--token", "-s", "4"]


@pytest.mark.parametrize(
    "words",
    [
        ["-O", "token=hunter2"],
        ["-Otoken=hunter2"],
        ["-O=token=hunter2"],
        ["--option", "token=hunter2"],
        ["-O", "custom.key=hunter2"],
        ["-O", "storage.access_key=hunter2"],
        ["-O", "pwd=hunter2"],
        ["-O", "credential=hunter2"],
        ["-O", "token=a hunter2"],
        ["-O", "password=it's,hunter2;x"],
        ["-O", "custom={password: hunter2, 'api-key': 'hunter2'}"],
        ["-O", 'custom={"token": "hunter2"}'],
        ["--custom.password", "hunter2"],
        ["--custom.password=hunter2"],
        ["--custom.token", "-hunter2"],
        ["--custom", "{token: hunter2}"],
        ["--custom={storage: {key : hunter2}}"],
    ],
)
def test_a_secret_among_the_options_of_a_command_is_hidden(words: list[str]) -> None:
    masked = masked_command(["runner.py", *words, "-s", "4"])
    assert "hunter2" not in " ".join(masked)
    assert masked[-2:] == ["-s", "4"]
    assert len(masked) == len(words) + 3


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "/data/key=1/out"],
        ["--cfg", "token.py"],
        ["--show-options=yaml"],
        ["-O", "uproot-options={timeout: 5}"],
        ["-O", "env.OMP_NUM_THREADS=1"],
        ["--custom", "{keyboard: 1}"],
        ["--use-token", "-ro", "a.yaml"],
    ],
)
def test_other_words_of_a_command_stay(words: list[str]) -> None:
    assert masked_command(words) == words
