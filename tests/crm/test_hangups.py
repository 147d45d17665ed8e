"""The hangup status of a call without a talk, over all finish reasons."""

import pytest

from crm import hangups
from crm.retailcrm.payloads import Hangup
from telephony.uis.types import Result
from tests.telephony.uis.test_finish_reasons import REJECTED_CALLER, WORDS

HUNG_UP = {"subscriber_disconnects", "caller_disconnects", "operator_disconnects", "disconnect_before_call_processing"}
OF_RESULT = {
    Result.ANSWERED: Hangup.ANSWERED,
    Result.NO_ANSWER: Hangup.NO_ANSWER,
    Result.BUSY: Hangup.BUSY,
    Result.FAILED: Hangup.FAILED,
    Result.UNKNOWN: Hangup.NO_ANSWER,
}


@pytest.mark.parametrize("direction", ["in", "out", ""])
@pytest.mark.parametrize("reason", sorted({*WORDS} - HUNG_UP))
def test_status_has_the_class_of_the_reason(reason, direction):
    refused = Hangup.FAILED if direction == "out" or reason in REJECTED_CALLER else Hangup.NO_ANSWER
    expected = OF_RESULT | {Result.NOT_ALLOWED: refused}
    assert hangups.without_talk(reason, direction=direction) == expected[WORDS[reason]]


@pytest.mark.parametrize("direction", ["in", "out", ""])
@pytest.mark.parametrize("reason", sorted(HUNG_UP))
def test_call_that_a_party_hung_up_before_the_answer_is_cancelled(reason, direction):
    assert hangups.without_talk(reason, direction=direction) == Hangup.CANCELLED


@pytest.mark.parametrize("reason", ["", "a reason of tomorrow", "16", "add_cdr_timeout"])
def test_unknown_reason_says_no_more_than_that_nobody_answered(reason):
    assert hangups.without_talk(reason, direction="in") == Hangup.NO_ANSWER


def test_every_status_is_sent_for_some_reason():
    sent = {hangups.without_talk(reason, direction=direction) for reason in WORDS for direction in ("in", "out")}
    assert sent == set(Hangup)
