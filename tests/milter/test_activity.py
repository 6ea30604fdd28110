"""What is under way, and waiting for its end."""

from __future__ import annotations

import threading

from dkimcore_milter.activity import Activity


def test_the_last_connection_to_close_tells():
    told = []
    activity = Activity(lambda: told.append(activity.connections))
    activity.connected()
    activity.connected()
    activity.disconnected()
    assert (activity.connections, told) == (1, [])
    activity.disconnected()
    assert (activity.connections, told) == (0, [0])


def test_without_messages_there_is_nothing_to_wait_for():
    assert Activity().wait_for_messages(60)


def test_a_message_is_waited_for():
    activity = Activity()
    activity.began()
    end = threading.Timer(0.05, activity.ended)
    end.start()
    assert activity.wait_for_messages(60)
    assert activity.messages == 0
    end.join()


def test_a_message_that_takes_too_long_is_not():
    activity = Activity()
    activity.began()
    assert not activity.wait_for_messages(0.01)
    assert activity.messages == 1
