"""Mail through a real Postfix while its filter dies and comes back: once each, and signed.

Postfix has milter_default_action=tempfail, so a client hears 4xx where the filter is gone; it
keeps the message and tries again.
"""

from __future__ import annotations

import pytest

from tests.faults.mailsite import MailSite

pytestmark = [pytest.mark.server("postfix"), pytest.mark.usefixtures("postfix_works")]


def test_workers_are_killed_while_mail_flows():
    with MailSite("AutoRestart yes\n") as site:
        with site.sending(200):
            for count in range(20, 200, 20):
                site.wait_for_accepted(count)
                site.kill_worker()
        site.demand_once_and_signed(200)
        died = [line for line in site.filter.log() if line["event"] == "worker-died"]
        assert len(died) >= 5


def test_the_filter_is_killed_stopped_and_reloaded_while_mail_flows():
    with MailSite() as site:
        with site.sending(200):
            site.wait_for_accepted(20)
            site.kill()
            site.wait_for_accepted(60)
            site.reload()
            site.wait_for_accepted(90)
            site.restart()
            site.wait_for_accepted(130)
            site.reload()
            site.wait_for_accepted(150)
            site.kill()
        site.demand_once_and_signed(200)
        assert site.codes[451] + site.codes[421] > 0  # they were faults indeed


def test_a_filter_that_stays_away_for_a_while():
    with MailSite() as site:
        with site.sending(40):
            site.wait_for_accepted(10)
            assert site.filter.stop() == 0
            site.wait_for_refused()
            site.start()
        site.demand_once_and_signed(40)
