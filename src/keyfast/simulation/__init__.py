"""Fleets in virtual time: the real agent against the real server, over a transport and clocks in memory."""
