/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/* Stands in for the kernel headers that bcc includes before every program: a tracepoint program needs none of
 * them but these few words. The kernel's own version comes from the generated linux/version.h. */
#pragma once
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_64BIT 1
