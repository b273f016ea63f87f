"""Finds the server that takes the writes of a namespace, where Sentinels or the nodes of a cluster know it.

A namespace lies in one slot, so that one connection is all a client needs; redis-py's own classes for this send again behind
our back, which `Store.run` must not allow.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Awaitable, Callable, TypeVar

from redis.exceptions import InvalidResponse, RedisError

from .connection_settings import Address, ConnectionSettings, Discovery, Login
from .failures import GONE, REPLIES, NoPrimary, address_of, explain, is_passing, reply_text
from .keys import meta_key
from .link import Link, dial

T = TypeVar("T")

#: A node that is asked first may know another one, which may have just handed the slot on.
_REDIRECTS_MAXIMUM = 3


async def dial_primary(settings: ConnectionSettings, discovery: Discovery, prefix: str, deadline: float) -> Link:
    """Raises NoPrimary when the deadline (of the loop's time) has passed at the latest."""
    trouble: NoPrimary | None = None
    for address in discovery.at:
        try:
            if discovery.by == "sentinel":
                return await _ask_sentinel(settings, discovery, address, deadline)
            return await _ask_node(settings, prefix, address, deadline)
        except NoPrimary as error:
            # What somebody who answers says is worth more than that another one is away.
            if error.passing or trouble is None or not trouble.passing:
                trouble = error
    assert trouble is not None, "the configuration names at least one"
    raise trouble


async def _ask_sentinel(settings: ConnectionSettings, discovery: Discovery, sentinel: Address, deadline: float) -> Link:
    login = discovery.login or Login()
    as_sentinel = replace(settings, username=login.username, password=login.password, db=0)

    async def whom_it_names(link: Link) -> Address:
        answer = await link.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", discovery.master or "")
        await link.close()
        if not isinstance(answer, list):
            raise RedisError(f"it watches no {discovery.master}")
        return _address(*map(str, answer[:2]))

    async def still_primary(link: Link) -> Link:
        answer = await link.call("ROLE")
        # Sentinels name the old primary until the new one has been promoted; it may be a replica already.
        if not isinstance(answer, list) or answer[:1] != ["master"]:
            raise RedisError("it is no primary any more")
        return link

    server = await _ask(as_sentinel, sentinel, deadline, False, whom_it_names)
    return await _ask(settings, server, deadline, True, still_primary)


async def _ask_node(settings: ConnectionSettings, prefix: str, seed: Address, deadline: float) -> Link:
    node = seed

    async def who_holds_it(link: Link) -> Link | Address:
        try:
            # Any question about a key is answered by the node that holds its slot, and by every other one with who does.
            await link.call("EXISTS", meta_key(prefix))
        except REPLIES as reply:
            moved = re.fullmatch(r"MOVED [0-9]+ (.*):([0-9]+)", reply_text(reply))
            if moved is None:
                raise
            await link.close()
            # A node that does not know its own name leaves it out.
            return _address(moved[1] or node.host, moved[2])
        return link

    for redirects in range(_REDIRECTS_MAXIMUM + 1):
        found = await _ask(settings, node, deadline, redirects > 0, who_holds_it)
        if isinstance(found, Link):
            return found
        node = found
    raise NoPrimary("its nodes disagree about who holds the namespace", "Look at CLUSTER NODES.", True)


def _address(host: str = "", port: str = "") -> Address:
    """As a server names another one."""
    if host == "" or re.fullmatch("[0-9]{1,5}", port) is None or not 0 < int(port) < 65536:
        raise InvalidResponse("an address is a host and a port")
    return Address(host, int(port))


async def _ask(
    settings: ConnectionSettings,
    address: Address,
    deadline: float,
    led: bool,
    question: Callable[[Link], Awaitable[T]],
) -> T:
    """The answer of one server. `led`: somebody else has named it, so that it is away for as long as a failover takes.

    Raises NoPrimary.
    """
    there = replace(settings, host=address.host, port=address.port)
    server = replace(there, discovery=None)
    try:
        return await dial(server, deadline, question)
    except (*REPLIES, *GONE) as error:
        reason, hint = explain(there, error)
        passing = is_passing(error) if isinstance(error, REPLIES) else led
        raise NoPrimary(f"{address_of(server)}: {reason}", hint, passing) from error
