<?php
// Tells Dealpost what happened. Copy this file into your platform; it needs PHP 7.4 or newer with curl.
// Set DEALPOST_URL and DEALPOST_KEY.

const DEALPOST_PAUSES = [0.5, 2, 5]; // seconds between the tries

// Sends after the page is finished, so that the student does not wait. $id: the same for the same completion, as
// "lesson-$studentId-$lessonId"; with it, whatever is sent twice counts once.
function dealpost_complete_lesson(string $email, int $lessonId, string $id): void
{
    register_shutdown_function(function () use ($email, $lessonId, $id) {
        if (function_exists('fastcgi_finish_request')) {
            fastcgi_finish_request(); // the student has the page from here on
        }
        ignore_user_abort(true);
        dealpost_send(['email' => $email, 'lesson_id' => $lessonId, 'id' => $id]);
    });
}

// Sends and waits. true: Dealpost has it on disk. false, with the reason in the log: keep it, and send it again.
function dealpost_send(array $lesson): bool
{
    $reason = '';
    foreach (array_merge(DEALPOST_PAUSES, [null]) as $pause) {
        $curl = curl_init(rtrim(getenv('DEALPOST_URL'), '/') . '/api/tripwire/complete');
        curl_setopt_array($curl, [
            CURLOPT_POSTFIELDS => json_encode($lesson),
            CURLOPT_HTTPHEADER => ['Content-Type: application/json', 'Authorization: Bearer ' . getenv('DEALPOST_KEY')],
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_CONNECTTIMEOUT => 2,
            CURLOPT_TIMEOUT => 5,
        ]);
        $answer = curl_exec($curl);
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($status >= 200 && $status < 300) {
            return true;
        }
        $reason = $answer === false ? curl_error($curl) : $status . ' ' . substr($answer, 0, 500);
        if ($status >= 400 && $status < 500 && $status !== 429) {
            break; // refused: sending it again changes nothing
        }
        if ($pause !== null) {
            usleep((int) ($pause * 1e6));
        }
    }
    error_log("Dealpost did not take {$lesson['id']}: $reason");
    return false;
}
