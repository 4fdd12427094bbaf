#!/usr/bin/python
# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: discover
short_description: Finds out what an inventory needs to know of an exchange
version_added: 0.1.0
author:
  - The exchange.chaos authors (@exchange-chaos)
description:
  - With O(state=found), on a host, looks at a compose project by what listens, by processes and images, by the
    kernel's own table of connections, by the database's catalogue and by what the API says of itself. Changes nothing,
    needs no consent and sends no order. Without O(project) it lists the projects there are.
  - With O(state=filled), on a host, looks as with O(state=found) for what is not set of the variables that describe an
    exchange, and goes by what is. What describes the embedded exchange is the default, so nothing is looked for where
    its image runs. The lifecycle role does so before everything else.
  - With O(state=written), on the controller, writes of what hosts found an inventory that is ready to run, with how
    each value was found, and the map of who connects to whom as Mermaid beside it.
  - Secrets are named by where they are. Their values are neither kept nor returned.
  - The playbook C(exchange.chaos.discover) does both.
options:
  state:
    description: What to do.
    type: str
    choices: [found, filled, written]
    default: found
  project:
    description: The compose project of the exchange. Without one, the projects of the host are listed.
    type: str
    default: ""
  trial:
    description:
      - Send one order as it was found, look for it in the database and cancel it. Another host than the controller
        must have its owner's consent for this. Nothing is sent in check mode.
    type: bool
    default: false
  known:
    description:
      - The variables that are set, without a password; filled in by the action of the same name. With O(state=found)
        these are services, the API's address, the database's login, user and symbol.
    type: dict
    default: {}
  external:
    description: For O(state=filled), the stores on another host, by part, each with C(address) and C(port).
    type: dict
    default: {}
  password:
    description: The database's password, where it is set; filled in by the action of the same name.
    type: str
  headers:
    description:
      - Headers of requests to the API, as C(chaos_api_headers) has them; told to nobody who lets in everybody, and
        in no result.
    type: dict
  authority:
    description: The authority, as PEM has it, that the API's certificate is of; empty for those this host trusts.
    type: str
    default: ""
  likely_user:
    description: For O(state=filled), the user who is taken where there is such a user.
    type: str
    default: ""
  remote:
    description: Whether this host is another one than the controller; filled in by the action of the same name.
    type: bool
    default: true
  hosts:
    description: For O(state=written), the hosts by name, and what O(state=found) returned on each.
    type: dict
    default: {}
  path:
    description: For O(state=written), the inventory's file; by default C(inventory-PROJECT.yml) in the current folder.
    type: path
  replace:
    description: Whether an inventory of that name that is there already is replaced.
    type: bool
    default: false
extends_documentation_fragment:
  - exchange.chaos.run.attributes
seealso:
  - module: exchange.chaos.preflight
"""

EXAMPLES = r"""
- name: Find out what is there
  exchange.chaos.discover:
    project: exchange-chaos-lab
  register: found

- name: Write it as an inventory
  exchange.chaos.discover:
    state: written
    hosts: "{{ {inventory_hostname: found} }}"
    path: ./exchange.yml
  delegate_to: localhost
"""

RETURN = r"""
chaos_lines:
  description: What was found, a line each with C(at) (UTC), C(level) and C(text).
  returned: always
  type: list
  elements: dict
projects:
  description:
    - Without O(project), each compose project with C(name), C(services) and C(running), how many containers run.
  returned: O(state=found)
  type: list
  elements: dict
settings:
  description:
    - The variables found, with C(variable), C(value), C(how), C(parts) (how each key was found), C(missing) (what
      was tried for a key that was not; the empty key is the whole value) and C(guessed) (whether a person has to say
      that it may be used).
  returned: O(state=found) and O(state=filled)
  type: list
  elements: dict
links:
  description: Who connects to whom, with C(client), C(server), C(port), C(seen) (how many connections) and C(address).
  returned: O(state=found)
  type: list
  elements: dict
products:
  description: What a service is, by its name.
  returned: O(state=found)
  type: dict
secrets:
  description: The names of variables that hold secrets, by service.
  returned: O(state=found)
  type: dict
problem:
  description:
    - Why a trial order did not pass; empty where it did, or none was sent.
    - With O(state=filled), what was not found and has to be set, in one sentence; empty where that is nothing.
  returned: O(state=found) and O(state=filled)
  type: str
services:
  description: The services of the project.
  returned: O(state=found) and O(state=filled)
  type: list
  elements: str
found:
  description:
    - C(project), C(variables) that were not set and were found, and C(how) each was found, by variable.
  returned: O(state=filled)
  type: dict
path:
  description: The inventory's file.
  returned: O(state=written)
  type: str
missing:
  description: How many things are to be filled in.
  returned: O(state=written)
  type: int
map:
  description: The map of who connects to whom, as lines of at most 80 columns.
  returned: O(state=written)
  type: list
  elements: str
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.exchange.chaos.plugins.module_utils.common.errors import ChaosError
from ansible_collections.exchange.chaos.plugins.module_utils.common.secret import take_arguments
from ansible_collections.exchange.chaos.plugins.module_utils.common.shapes import Arguments, Result
from ansible_collections.exchange.chaos.plugins.module_utils.discovery import exploring, trying
from ansible_collections.exchange.chaos.plugins.module_utils.discovery.known import KnownSettings, read_known
from ansible_collections.exchange.chaos.plugins.module_utils.host import consent
from ansible_collections.exchange.chaos.plugins.module_utils.host.docker_engine import DockerEngine
from ansible_collections.exchange.chaos.plugins.module_utils.host.http_client import Access
from ansible_collections.exchange.chaos.plugins.module_utils.run.results import Lines

#: Links beyond these are told of nobody: results stay under 64 KiB.
_LINKS = 200


def find_exchange(given: Arguments, lines: Lines, *, act: bool) -> Result:
    """Return what the host tells; ``act``: a trial order may be sent. Raises ChaosError."""
    engine = DockerEngine.connect()
    if not given["project"]:
        projects = exploring.list_projects(engine)
        for one in projects:
            lines.say("ok", f"{one['name']}: {one['running']} running, services {', '.join(one['services'])}")
        lines.say(
            "info",
            "Name one by -e chaos_project=…" if projects else "There is no compose project on this host",
        )
        return {"projects": projects}
    if given["trial"] and given["remote"]:
        consent.require_consent()
    found, problem = exploring.discover_project(engine, given["project"], lines.say, _read_known(given)), ""
    if given["trial"] and act:
        try:
            trying.try_discovered(engine, found, lines.say)
        except ChaosError as error:
            lines.say("fail", str(error))
            problem = str(error)
    return {
        "problem": problem,
        "settings": [one.to_data() for one in found.settings],
        "links": [asdict(one) for one in found.links[:_LINKS]],
        "products": found.products,
        "secrets": found.secrets,
        "services": found.services,
    }


def find_unset(given: Arguments, lines: Lines) -> Result:
    """Return what the host tells, going by what is set; nothing where the defaults are true. Raises ChaosError."""
    engine = DockerEngine.connect()
    if exploring.is_embedded(engine, given["project"]):
        lines.say(
            "info", f"Project {given['project']} runs the embedded exchange: its defaults are true of it"
        )
        return {}
    found = exploring.discover_project(
        engine, given["project"], lambda _level, _text: None, _read_known(given)
    )
    return {"settings": [one.to_data() for one in found.settings], "services": found.services}


def _read_known(given: Arguments) -> KnownSettings:
    """Return what is set, and with what is asked for the rest. Raises ChaosError."""
    return read_known(
        given["known"],
        external=given["external"],
        password=given["password"] or "",
        likely_user=given["likely_user"],
        access=Access.from_data({"headers": given["headers"], "authority": given["authority"]}),
    )


def main() -> None:
    """Parse, call, report."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["found", "filled", "written"], "default": "found"},
            "project": {"type": "str", "default": ""},
            "trial": {"type": "bool", "default": False},
            "known": {"type": "dict", "default": {}},
            "external": {"type": "dict", "default": {}},
            "password": {"type": "str", "no_log": True},
            "headers": {"type": "dict", "no_log": True},
            "authority": {"type": "str", "default": ""},
            "likely_user": {"type": "str", "default": ""},
            "remote": {"type": "bool", "default": True},
            "hosts": {"type": "dict", "default": {}},
            "path": {"type": "path"},
            "replace": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given, lines = take_arguments(module), Lines()
    found: Result = {
        "projects": [],
        "settings": [],
        "links": [],
        "products": {},
        "secrets": {},
        "services": [],
        "problem": "",
    }
    try:
        if given["state"] == "filled":
            found.update(find_unset(given, lines))
        else:
            found.update(find_exchange(given, lines, act=not module.check_mode))
    except ChaosError as error:
        module.fail_json(msg=str(error), chaos_lines=lines.lines, chaos_bpf=[], **found)
    module.exit_json(changed=False, chaos_lines=lines.lines, chaos_bpf=[], **found)


if __name__ == "__main__":
    main()
