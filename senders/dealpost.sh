#!/bin/sh
# Tells Dealpost that a lesson was completed: dealpost.sh EMAIL LESSON_ID EVENT_ID
# Set DEALPOST_URL and DEALPOST_KEY. EVENT_ID: the same for the same completion, as lesson-<student>-<lesson>; with it,
# whatever is sent twice counts once. Ends with 0 once Dealpost has it on disk. To let nobody wait, put an & after it.
set -eu

answer=$(curl --silent --show-error --connect-timeout 2 --max-time 5 --retry 5 --retry-all-errors \
    --header "Authorization: Bearer $DEALPOST_KEY" \
    --data-urlencode "email=$1" --data-urlencode "lesson_id=$2" --data-urlencode "id=$3" \
    --write-out '\n%{http_code}' "$DEALPOST_URL/api/tripwire/complete")
status=$(printf '%s' "$answer" | tail -n 1)
case $status in
2*) ;;
*) echo "Dealpost did not take $3: $answer" >&2 && exit 1 ;;
esac
