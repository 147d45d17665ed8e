"""The access log stores truncated IP addresses."""

import pytest

from telephony import access_log


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.x"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.x"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", ""),
        ("unix:", ""),
        ("203.0.113.77, 10.0.0.1", ""),
    ],
)
def test_address_is_masked(address, shown):
    assert access_log.masked(address) == shown
