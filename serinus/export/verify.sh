#!/bin/sh
# Verifies this archive with openssl, sha256sum and a POSIX shell, nothing else.
#   sh verify.sh              the files, the signatures, and that every link fits the next
#   sh verify.sh --chain      also recomputes the hash of every entry
# Exit code 0: everything is sound and complete; 3: sound, and complete but for the gaps that were told and are listed;
# 1: something is FALSE. Compare the key below with one you got another way.
set -eu
cd "$(dirname "$0")"

signed() { # signed FILE SIGNATURE KEY
    openssl pkeyutl -verify -pubin -inkey "$3" -rawin -in "$1" -sigfile "$2" >/dev/null ||
        { echo "FALSE: $2 does not fit $1" >&2; exit 1; }
}

broken() { echo "FALSE: $1: $2" >&2; exit 1; }

# Lines are {"seq":N,"prev":"…","hash":"…","body":…}; the body is absent where another model's entry was left out.
# What was hashed (prev, newline, seq, newline, body) is written to files, so that one sha256sum does for thousands.
# A link may be missing only where a gap was told, of just these two entries: numbers and hashes.
chain() { # chain FILE
    LC_ALL=C awk -F'"' -v full="$full" -v dir="$work" -v log_="$1" -v gaps="$gaps" '
        function wrong(what) { print "FALSE: " log_ ": entry " seq " " what; failed = 1; exit 1 }
        function check() {
            close(dir "/sums")
            if (waiting && system("sha256sum --check --quiet --strict " dir "/sums >" dir "/said 2>&1")) {
                getline said < (dir "/said"); sub(/.*\//, "", said); sub(/:.*/, "", said)
                seq = said; wrong("was changed")
            }
            system("rm -f " dir "/*"); waiting = 0
        }
        BEGIN {
            while ((getline line < gaps) > 0) {
                split(line, f, "\"")
                if (f[12] != "body") continue
                gsub(/[:,]/, "", f[19]); gsub(/[:,]/, "", f[25])
                told[f[19] " " f[22] " " f[25] " " f[28] " " f[32]] = 1
            }
        }
        {
            seq = $3; sub(/^:/, "", seq); sub(/,$/, "", seq)
            if ($2 != "seq" || $4 != "prev" || $8 != "hash") wrong("is not written as entries are")
            if (NR > 1 && ($6 != before || seq != last + 1)) {
                if ((last " " before " " seq " " $6 " " $10) in told) passed++
                else wrong("does not follow the one before it")
            }
            before = $10; last = seq
            at = 73 + index($0, "\"hash\":\"")
            if (full && substr($0, at) != "}") {
                ORS = ""; file = dir "/" seq
                print $6 "\n" seq "\n" substr($0, at + 8, length($0) - at - 8) > file; close(file)
                ORS = "\n"; print $10 "  " file > (dir "/sums")
                if (++waiting == 5000) check()
            }
        }
        END {
            if (failed) exit 1
            check()
            but = passed ? " but for " passed " told gap" (passed > 1 ? "s" : "") : ""
            print log_ ": sound" but ", " NR " entries, last hash " before
        }
    ' "$1" || exit 1
}

# The gaps that were told, for people; nothing if there are none.
told() {
    [ ! -f "$gaps" ] || LC_ALL=C awk -F'"' '$12 == "body" {
        after = $19; gsub(/[:,]/, "", after); behind = $25; gsub(/[:,]/, "", behind)
        which = behind == after + 2 ? "entry " after + 1 " is" : "entries " after + 1 " to " behind - 1 " are"
        print "GAP: " $16 ": " which " missing, as was told at " $36
    }' "$gaps"
}

full=
gaps=logs/archive.gaps.gaps.jsonl
[ "${1:-}" != --chain ] || full=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

signed SHA256SUMS SHA256SUMS.sig "keys/$(cat signer).pem"
sha256sum --check --quiet --strict SHA256SUMS || { echo "FALSE: a file was changed" >&2; exit 1; }
for directory in versions/*/; do
    [ -d "$directory" ] || continue
    [ "sha256:$(sha256sum <"$directory/manifest.json" | cut -d' ' -f1)" = "$(cat "$directory/digest")" ] ||
        broken "$directory" "the manifest does not have this digest"
    signed "$directory/digest" "$directory/digest.sig" "keys/$(cat "$directory/signer").pem"
    retired="keys/retired-$(cat "$directory/signer").json"
    [ ! -f "$retired" ] || grep -q "\"$(cat "$directory/digest")\"" "$retired" ||
        broken "$directory" "its key was retired before it was signed"
done
for checkpoint in checkpoints/*/*.txt; do
    [ -f "$checkpoint" ] || continue
    signed "$checkpoint" "${checkpoint%.txt}.sig" "keys/$(cat "${checkpoint%.txt}.signer").pem"
    log=$(basename "$(dirname "$checkpoint")")
    seq=$(sed -n 's/^entries //p' "$checkpoint") hash=$(sed -n 's/^hash //p' "$checkpoint")
    retired="keys/retired-$(cat "${checkpoint%.txt}.signer").json"
    if [ -f "$retired" ]; then
        name=$(sed -n 's/^log //p' "$checkpoint")
        upto=$(sed -n "s/^ *\"$name\": *\([0-9]*\),*$/\1/p" "$retired")
        if grep -q '"checkpoints": *\[' "$retired"; then
            grep -q "\"$(sha256sum <"$checkpoint" | cut -d' ' -f1)\"" "$retired" || upto=0
        fi
        [ "$seq" -le "${upto:-0}" ] || broken "$checkpoint" "its key was retired before it was signed"
    fi
    grep -q "^{\"seq\":$seq,\"prev\":\"[0-9a-f]*\",\"hash\":\"$hash\"" "logs/$log" ||
        broken "$checkpoint" "entry $seq of logs/$log is another one"
done
for log in logs/*.jsonl; do
    [ -f "$log" ] && chain "$log"
done
told
number=$(told | wc -l | tr -d ' ')
if [ "$number" -eq 0 ]; then
    echo "Sound. Complete: between the first and the last entry of each log none is missing."
else
    echo "Sound. NOT COMPLETE: complete but for $number told gap(s), listed above and in index.json under \"missing\"."
fi
echo "Signed by the key $(cat signer), whose SHA-256 is:"
sha256sum "keys/$(cat signer).pem"
[ "$number" -eq 0 ] || exit 3
