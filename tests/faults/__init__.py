"""Faults that the filter must survive: nothing is lost, and nothing is sent unsigned.

Each fault is caused for real, from outside: processes are killed, disks filled, name servers
lie, clients misbehave.  What is asserted is what an operator would miss: mail that arrives
once, signed; a worker that lives; memory and descriptors that come back.

=========================  ===================================================================
`test_killed`              a worker or the supervisor is killed in the middle of messages
`test_traffic`             200 messages through Postfix while all that and reloads happen
`test_hostile_clients`     clients that hang, and packets that are none
`test_many_connections`    500 idle and 64 busy connections
`test_dns`                 name servers that are dead, silent, or lie
`test_disk_full`           no room for the log and the pid file
`test_key_files`           keys replaced, unreadable, deleted, with and without a reload
`test_reloads`             a hundred reloads under load
`test_descriptors`         no file descriptor is left
`test_clock`               the clock is stepped
`test_internal_errors`     a message that makes verification raise
=========================  ===================================================================
"""
