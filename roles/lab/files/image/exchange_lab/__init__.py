# Copyright (c) 2026, The exchange.chaos authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded exchange: a small trading exchange to break on purpose.

Three services live here, each one process: ``trading_api`` (orders, matching, book), ``market_simulator``
(prices over Redis pub/sub) and ``order_flow_simulator`` (random orders).  They are a reference that other
exchanges are compared with, so each weakness they may show is a named switch (see ``switches``), and
without a switch they behave as well as a small service can.
"""
