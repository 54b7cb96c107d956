/**
 * The shell script that refreshes a node's trust store where no agent with the right to do so runs: before the first boot
 * is over, at each boot, and when files appear in or vanish from the anchor directory. What it guards against on Debian
 * is measured in docs/how-it-works.md.
 *
 * It runs in whatever a system calls sh (dash, bash, BusyBox), so it keeps to POSIX. Braces after a dollar sign would be
 * TypeScript's here: it does without.
 */
import { readLimit } from '../host/files.ts';

/** Everything of ours that is no trust store's lies here: it can be written on systems with a read-only /usr, too. */
export const directory = '/etc/node-ca-trust';
export const scriptPath = `${directory}/refresh.sh`;
/** Anchor files of a node whose family is not known yet: the script takes them to their place, once. */
export const stagingDirectory = `${directory}/anchors`;
/** Those of them that a store made by p11-kit would drop: there the script leaves them out, as the agent does. */
export const notForP11KitDirectory = `${stagingDirectory}/not-for-p11-kit`;
/** Where the families' tools look for anchors; Flatcar's is also the tool's output, and nobody can watch that. */
export const watchedDirectories = [
  '/usr/local/share/ca-certificates',
  '/etc/pki/ca-trust/source/anchors',
  '/etc/pki/trust/anchors',
] as const;

export const refreshScript = String.raw`#!/bin/sh
# Refreshes this system's trust store from the files in its anchor directory, whichever family it is of. Made by
# node-ca-trust. Exit code 0: every file of node-ca-trust's there is in the system's bundle.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
umask 022
home=/etc/node-ca-trust
work=$home/refresh.work
# What hooks are to be told; kept until they have been.
heard=$home/refresh.heard

# Names of files are others': what a terminal would take for more than a letter is not shown.
say() { printf 'node-ca-trust-refresh: %s\n' "$(printf '%s' "$*" | tr '[:cntrl:]' '?')" >&2; }
fail() { say "$*"; exit 1; }

# Whoever makes this file asks for a run. It goes before the run begins, so that one that is made meanwhile asks for another.
request=/var/lib/node-ca-trust/_refresh
# systemd comes back at once while it is there.
rm -f "$request" || { sleep 60; fail "$request cannot be removed"; }

release=/etc/os-release
[ -r "$release" ] || release=/usr/lib/os-release
[ -r "$release" ] || fail "there is no /etc/os-release: the distribution is unknown"
ID='' ID_LIKE=''
. "$release"
family=''
for id in $(printf '%s' "$ID $ID_LIKE" | tr -d '\r'); do
  case $id in
    debian | ubuntu) family=debian ;;
    alpine) family=alpine ;;
    flatcar) family=flatcar ;;
    rhel | fedora | centos | rocky | almalinux | amzn | azurelinux | mariner) family=rhel ;;
    suse | sles | opensuse*) family=suse ;;
    *) continue ;;
  esac
  break
done

suffix=.crt
tool='update-ca-certificates'
case $family in
  debian | alpine)
    anchors=/usr/local/share/ca-certificates
    bundle=/etc/ssl/certs/ca-certificates.crt
    ;;
  flatcar)
    anchors=/etc/ssl/certs suffix=.pem
    bundle=/etc/ssl/certs/ca-certificates.crt
    ;;
  suse)
    anchors=/etc/pki/trust/anchors
    bundle=/var/lib/ca-certificates/ca-bundle.pem
    ;;
  rhel)
    tool='update-ca-trust extract'
    anchors=/etc/pki/ca-trust/source/anchors
    bundle=/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem
    ;;
  *) fail "the trust store of $ID is not known here" ;;
esac
command -v "$(echo "$tool" | cut -d ' ' -f 1)" > /dev/null || fail "$tool is not there: install ca-certificates"
mkdir -p "$anchors"

# One run at a time, and none while an agent of node-ca-trust changes the store. The lock ends with whoever holds it, the
# tool included. Nobody else may open the directory: who can, can lock it. It stays: a pod may have it mounted.
locked=/var/lib/node-ca-trust
for _ in 1 2 3 4 5; do
  mkdir -p "$locked"
  chmod go= "$locked"
  exec 9< "$locked"
  timeout 100 flock 9 || fail "another has held the lock of $locked for too long"
  # It may have gone with the lock of who had it.
  [ "$(stat -L -c %i /dev/fd/9 2> /dev/null)" != "$(stat -L -c %i "$locked" 2> /dev/null)" ] || break
done
rm -rf "$work"
mkdir -m 700 "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
# Of tools that are killed, what they leave goes with the rest.
export TMPDIR="$work"

# What was put there for this system before its family was known takes its place, once, each file whole unless it is on another
# file system. That directory may be another's: each is made in our own, and nothing is written to what is there already.
for file in "$home"/anchors/node-ca-trust-*.crt "$home"/anchors/not-for-p11-kit/node-ca-trust-*.crt; do
  [ -f "$file" ] || continue
  case $family:$file in
    rhel:*/not-for-p11-kit/* | suse:*/not-for-p11-kit/*)
      say "$(basename "$file") is left out: this system's trust store drops what is no CA that may issue for TLS servers"
      rm -f "$file"
      continue
      ;;
  esac
  name=$(basename "$file" .crt)$suffix
  cat "$file" > "$work/$name"
  # As a file that is made there.
  chcon --reference="$anchors" "$work/$name" 2> /dev/null || true
  # Into a link to a directory it would be moved, and not into its place.
  if [ -h "$anchors/$name" ]; then rm -f "$anchors/$name"; fi
  mv -f "$work/$name" "$anchors/$name"
  rm -f "$file"
done

# Of PEM, no more than the certificates, without byte order marks, which Go does not understand.
blocks='{ sub(/^\357\273\277/, "") }
  /^-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----[ \t\r]*$/ { inside = 1 }
  inside { print }
  /^-----END / { inside = 0 }'
# The same, one line for each certificate, however its base64 is broken into lines. What only OpenSSL reads says more than
# the certificate, which is in the bundle without that.
lines='{ sub(/^\357\273\277/, "") }
  FNR == 1 { inside = 0 }
  /^-----BEGIN (X509 )?CERTIFICATE-----[ \t\r]*$/ { inside = 1; body = ""; next }
  /^-----END / { if (inside) print body; inside = 0 }
  inside { gsub(/[ \t\r]/, ""); body = body $0 }'

# The certificates of the files whose paths are read.
certificates() {
  while read -r path; do [ ! -f "$path" ] || printf '%s\0' "$path"; done | xargs -0 awk "$lines" /dev/null | sort -u
}

# The files that count in the anchor directory: on Debian the tool takes in whatever has this ending. find fails for a link
# that leads to itself, and for what goes meanwhile; what is missing of the rest is seen when the bundle is read.
files() {
  if [ "$family" = debian ]; then find -L "$anchors" -type f -name '*.crt' || true
  else find -L "$anchors" -maxdepth 1 -type f -name "node-ca-trust-*$suffix" || true; fi
}

# The paths of all that has to be in the bundle.
sources() {
  files
  [ "$family" != debian ] || sed -e '/^[#!]/d' -e '/^$/d' -e 's|^|/usr/share/ca-certificates/|' /etc/ca-certificates.conf
}

# Whether a bundle lacks nothing.
holds_all() {
  sources | certificates > "$work/wanted"
  printf '%s\n' "$1" | certificates > "$work/held"
  [ -z "$(comm -23 "$work/wanted" "$work/held")" ]
}

# What update-ca-certificates makes of Debian's store, without its hazards: it has no lock, appends to what a killed run
# left under its one temporary name, copies whatever it finds, and does not see that a file is gone.
refresh_debian() {
  certs=/etc/ssl/certs
  new=$work/bundle.crt
  rm -f "$new"
  find "$certs" -maxdepth 1 -name ca-certificates.crt.new -mmin +1 -exec rm -f {} + || true
  {
    echo '# made for one run'
    # Removals, as the tool has to be told of them to make the hash links anew and to tell the hooks.
    find -L "$certs" -maxdepth 1 -type l -name '*.pem' | while read -r link; do
      case $(readlink "$link") in "$anchors"/*) printf '!gone/%s\n' "$(basename "$link" .pem).crt" ;; esac
    done
    cat /etc/ca-certificates.conf
  } > "$work/conf"
  # Hooks hear of a change when it is published, not before: until then it is noted.
  mkdir -p "$work/hooks"
  printf '#!/bin/sh\ncat >> "%s"\n' "$heard" > "$work/hooks/note"
  chmod 755 "$work/hooks/note"
  # Twice: its "openssl rehash" gives up on another's unreadable file, though it has made all links then.
  for _ in 1 2; do
    [ -s "$new" ] || update-ca-certificates --certsconf "$work/conf" --certbundle ../../node-ca-trust/refresh.work/bundle.crt \
      --hooksdir "$work/hooks" > "$work/said" 2>&1 || true
  done
  [ -s "$new" ] || fail "update-ca-certificates wrote no bundle; it said: $(tail -n 1 "$work/said")"
  # All may read the bundle: what was in the files, or in what links there lead to, gets into it only as the certificates
  # that openssl has read there, written anew.
  awk "$blocks" "$new" > "$work/blocks.crt"
  if grep -q 'PRIVATE KEY' "$new" || ! openssl crl2pkcs7 -nocrl -certfile "$work/blocks.crt" -out "$work/p7b" 2> /dev/null; then
    files | while read -r file; do
      if grep -q 'PRIVATE KEY' "$file"; then say "$file holds a private key: take it out"; fi
      openssl crl2pkcs7 -nocrl -certfile "$file" > /dev/null 2>&1 || say "$file is broken: mend or remove it"
    done
    fail "the bundle is left as it was"
  fi
  openssl pkcs7 -print_certs -in "$work/p7b" | awk "$blocks" > "$work/anew.crt"
  holds_all "$work/anew.crt" || fail "update-ca-certificates left certificates out; the bundle is left as it was"
  mv -f "$work/anew.crt" "$bundle"
  # The tool makes no links where it sees no change. A link by hash that leads nowhere is none that it would take away.
  find -L "$certs" -maxdepth 1 -type l -name '*.[0-9]*' -exec rm -f {} + || true
  openssl rehash "$certs" > /dev/null 2>&1 || true
  [ ! -x /sbin/restorecon ] || /sbin/restorecon "$bundle" > /dev/null 2>&1 || true
  if [ -s "$heard" ] && [ -d /etc/ca-certificates/update.d ]; then
    run-parts --test -- /etc/ca-certificates/update.d | while read -r hook; do
      "$hook" < "$heard" || say "$hook ended with exit code $?"
    done
  fi
  rm -f "$heard"
}

refresh() {
  # The tools read each whole, and as lines: a sparse one would take the memory of the node.
  huge=$(find -L "$anchors" -type f -name "*$suffix" -size +${readLimit}c || true)
  [ -z "$huge" ] || fail "too large for a certificate, over ${readLimit} bytes; remove it: $huge"
  case $family in
    debian) refresh_debian ;;
    # The exit code of none of them proves anything.
    *) $tool > "$work/said" 2>&1 < /dev/null || say "$tool ended with exit code $?: $(tail -n 1 "$work/said")" ;;
  esac
}

for _ in 1 2 3 4 5; do
  listed=$(files)
  refresh
  # Files that came or went meanwhile, which systemd does not see during a run, take another one.
  if holds_all "$bundle" && [ "$listed" = "$(files)" ]; then exit 0; fi
done
files | while read -r file; do
  printf '%s\n' "$file" | certificates > "$work/one"
  [ -z "$(comm -23 "$work/one" "$work/held")" ] || say "$bundle does not hold $file"
done
fail "$tool did not bring all certificates into $bundle"
`;
