#!/bin/sh
# What Sandwarden does at every boot before containerd, k3s or kubelet start (sandwarden-clock.service).
# Normal case: a handful of stat(2) calls, no process, no Node. It never fails a boot: every way ends in exit 0.
#   start  was the last boot cut off, and is any witness on the disk dated after now? Only then Node is started.
#   stop   at a shutdown in order: says so for the next boot.
#   beat   each few minutes: how long this boot has lived, dated by the clock of the moment.
# No special built-in is redirected (`: >file` would end a POSIX shell where the disk is read-only).
set -u
root=${SANDWARDEN_ROOT:-}
run=$root/run/sandwarden
state=$root/var/lib/sandwarden

beat() {
  read -r up _ <"$root/proc/uptime" && read -r boot <"$root/proc/sys/kernel/random/boot_id" &&
    printf '%s %s\n' "${up%%.*}" "$boot" >"$state/heartbeat"
}

# A line for this boot, which followed an unclean end: a date, how long the boot before lived, this boot's id.
unclean() {
  read -r boot <"$root/proc/sys/kernel/random/boot_id"
  printf '%s %s %s\n' "$(date +%s)" "$lived" "$boot" >>"$state/boots"
}

# Whether a file of the pattern $1 is dated after now.
newer() {
  IFS= # a pattern expands, but is never split
  # shellcheck disable=SC2086 # on purpose: see above
  set -- $root$1
  IFS=' '
  for file; do
    # shellcheck disable=SC3013 # POSIX has -nt since 2024; dash, busybox, bash and ksh always had it
    [ "$file" -nt "$run/now" ] && return 0
  done
  return 1
}

start() {
  [ -d "$run" ] || mkdir -p "$run"
  if [ -e "$run/booted" ]; then # the unit was restarted: this boot has been judged
    printf '' >"$state/clean"
    return
  fi
  printf '' >"$run/booted"
  # An empty marker is of a boot that did not end; none at all is of a machine that never ran this.
  lived=0 boot=''
  if [ -e "$state/clean" ] && ! [ -s "$state/clean" ]; then
    printf '' >"$run/unclean"
    [ -r "$state/heartbeat" ] && read -r lived _ <"$state/heartbeat"
    case $lived in
      '' | *[!0-9]*) lived=0 ;; # it was cut off while it was written
    esac
  fi
  printf '' >"$state/clean"
  if [ -e "$run/unclean" ]; then
    # On the disk before anything else begins: what comes now may be what ends this boot too.
    unclean
    sync "$state/boots"
  fi
  node='' program='' behind=''
  printf '' >"$run/now"
  while IFS= read -r line; do
    case $line in
      node=/*) node=${line#node=} ;;
      program=/*) program=${line#program=} ;;
      witness=/*) [ -n "$behind" ] || { newer "${line#witness=}" && behind=${line#witness=}; } ;;
    esac
  done <"$root/etc/sandwarden/boot.conf"
  if [ -n "$behind" ]; then
    printf '%s\n' "$behind" >"$run/clock-behind"
    [ -x "$node" ] && "$node" "$program" boot clock
    # Once more with the clock put right, so that the dates of unclean boots can be compared: the last line counts.
    [ -e "$run/unclean" ] && unclean
  fi
  beat
}

IFS=' '
case ${1:-start} in
  start) start ;;
  stop) # only where the whole system goes down: who merely stops this unit may lose the power later
    [ "$(systemctl is-system-running)" = stopping ] && beat &&
      read -r boot <"$root/proc/sys/kernel/random/boot_id" && printf '%s\n' "$boot" >"$state/clean"
    ;;
  beat) beat ;;
  *) printf 'usage: early.sh start|stop|beat\n' >&2 ;;
esac
exit 0
