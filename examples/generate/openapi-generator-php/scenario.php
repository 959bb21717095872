<?php

// A chat's life, by the client that openapi-generator makes for PHP.
//
//     ./generate.sh
//     composer install --no-dev --working-dir client
//     PARLOR_API_KEY=your-tenant-api-key php scenario.php
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.

declare(strict_types=1);

use GuzzleHttp\Client;
use Parlor\Api\ChatsApi;
use Parlor\Api\MessagesApi;
use Parlor\Api\TicketsApi;
use Parlor\ApiException;
use Parlor\Configuration;
use Parlor\Model\ChatStatus;
use Parlor\Model\CreateChatRequest;
use Parlor\Model\CreateTicketRequest;
use Parlor\Model\Problem;
use Parlor\Model\SenderRole;
use Parlor\Model\SendMessageRequest;
use Parlor\Model\UpdateChatRequest;

require __DIR__ . '/client/vendor/autoload.php';

// A slash and a letter beyond ASCII: the client has to encode the path.
define('USER', 'zoë/' . bin2hex(random_bytes(16)));
const TITLE = 'Grüße, 世界 🦊';
const METADATA = [
    'department' => 'technical',
    'tags' => ['Grüße', '世界', '🦊'],
    'order' => ['items' => [['sku' => null, 'count' => PHP_INT_MAX]]],
    'nothing' => null,
];

function main(): void
{
    $url = getenv('PARLOR_URL') ?: 'http://localhost:8000';
    $key = getenv('PARLOR_API_KEY');
    if (!$key) {
        fwrite(STDERR, "Set PARLOR_API_KEY to your tenant's API key.\n");
        exit(1);
    }
    $configuration = configurationOf($url, $key);
    $http = new Client(['timeout' => 30]);
    $chats = new ChatsApi($http, $configuration);
    $messages = new MessagesApi($http, $configuration);

    $created = create($chats);
    read($chats, $created);
    listByOffset($chats, $created);
    listByCursor($chats, $created);
    listByMetadata($chats, $created);
    talk($messages, $created[0]);
    invite(new TicketsApi($http, $configuration), $created[0]);
    update($chats, $created[0]);
    beRefused($chats, $messages, $url, $created[0]);
    delete($chats, $created);
    echo "done\n";
}

function configurationOf(string $url, string $key): Configuration
{
    return (new Configuration())->setHost($url)->setApiKey('X-API-Key', $key);
}

/** @return string[] the ids of the chats */
function create(ChatsApi $chats): array
{
    $request = new CreateChatRequest(['user_id' => USER, 'title' => TITLE, 'metadata' => METADATA]);
    $key = bin2hex(random_bytes(16));
    $chat = $chats->createChat($request, idempotency_key: $key);
    check($chat->getUserId() === USER, 'user_id');
    check($chat->getTitle() === TITLE, 'title');
    check(arrays($chat->getConfig()->getMetadata()) === METADATA, 'metadata');
    check($chat->getCreatedAt() instanceof DateTime, 'created_at');
    check($chat->getUpdatedAt() == $chat->getCreatedAt(), 'updated_at');
    check($chat->getLastMessageAt() === null, 'last_message_at');
    // The same intent again creates no second chat, and another intent needs another key.
    check($chats->createChat($request, idempotency_key: $key)->getId() === $chat->getId(), 'the same chat');
    $other = new CreateChatRequest(['user_id' => USER]);
    $problem = problemOf(422, fn () => $chats->createChat($other, idempotency_key: $key));
    check($problem->getCode() === 'idempotency_key_reused', 'code');

    $second = $chats->createChat($other);
    $third = $chats->createChat($other);
    echo "created {$chat->getId()}\n";
    return ids([$chat, $second, $third]);
}

function read(ChatsApi $chats, array $created): void
{
    $chat = $chats->getChat($created[0]);
    check(arrays($chat->getConfig()->getMetadata()) === METADATA, 'metadata');
    check($chat->getStatus() === ChatStatus::ACTIVE && $chat->getMessageCount() === 0, 'status and message_count');
    echo "read {$chat->getTitle()}\n";
}

function listByOffset(ChatsApi $chats, array $created): void
{
    $first = $chats->listUserChats(USER, limit: 2);
    check($first->getTotal() === 3 && $first->getHasMore(), 'total and has_more');
    $second = $chats->listUserChats(USER, limit: 2, offset: 2);
    check($second->getOffset() === 2 && !$second->getHasMore(), 'offset and has_more');
    check(ids([...$first->getChats(), ...$second->getChats()]) === array_reverse($created), 'chats');
    echo "listed by offset: {$first->getTotal()}\n";
}

function listByCursor(ChatsApi $chats, array $created): void
{
    $page = $chats->listUserChats(USER, limit: 2, order: 'asc');
    $found = ids($page->getChats());
    while ($page->getNextCursor() !== null) {
        $page = $chats->listUserChats(USER, limit: 2, order: 'asc', cursor: $page->getNextCursor());
        check($page->getTotal() === null && $page->getOffset() === null, 'no total and no offset');
        $found = [...$found, ...ids($page->getChats())];
    }
    check($found === $created, 'chats');
    echo 'listed by cursor: ', count($found), "\n";
}

function listByMetadata(ChatsApi $chats, array $created): void
{
    // The client fails with a DateTime in a query and takes its text.
    $page = $chats->listChats(
        user_id: USER,
        status: ChatStatus::ACTIVE,
        created_after: (new DateTime('-1 day'))->format(DATE_ATOM),
        metadata: ['department:technical', 'nothing:null'],
    );
    check(ids($page->getChats()) === [$created[0]], 'chats');
    // An offset other than UTC's.
    $tomorrow = (new DateTime('+1 day', new DateTimeZone('+05:30')))->format(DATE_ATOM);
    $earlier = $chats->listChats(user_id: USER, created_before: $tomorrow);
    check(count($earlier->getChats()) === count($created), 'created_before');
    check($chats->listChats(user_id: USER, created_after: $tomorrow)->getChats() === [], 'created_after');
    echo 'listed by metadata: ', count($page->getChats()), "\n";
}

function talk(MessagesApi $messages, string $chatId): void
{
    $sent = $messages->sendMessage($chatId, new SendMessageRequest([
        'content' => "Hallo 👋\nzweite Zeile",
        'metadata' => ['seen' => null],
        'client_message_id' => '1',
    ]));
    check($sent->getSeq() === 1 && $sent->getSenderRole() === SenderRole::USER, 'seq and sender_role');
    check($sent->getSenderId() === USER && $sent->getMediaUrl() === null, 'sender_id and media_url');
    check($sent->getMetadata() === ['seen' => null], 'metadata');
    $reply = ['content' => 'Hello!', 'sender_role' => SenderRole::ASSISTANT];
    $messages->sendMessage($chatId, new SendMessageRequest($reply));
    $page = $messages->listMessages($chatId);
    $contents = array_map(fn ($message) => $message->getContent(), $page->getMessages());
    check($contents === ["Hallo 👋\nzweite Zeile", 'Hello!'], 'content');
    $later = $messages->listMessages($chatId, after_seq: 1)->getMessages();
    check(count($later) === 1 && $later[0]->getSenderRole() === SenderRole::ASSISTANT, 'one later message');
    echo "sent and listed messages: {$page->getTotal()}\n";
}

function invite(TicketsApi $tickets, string $chatId): void
{
    $issued = $tickets->createTicket($chatId, new CreateTicketRequest(['user_id' => 'guest']));
    check(str_starts_with($issued->getTicket(), 'plt_'), 'ticket');
    check($issued->getExpiresAt() instanceof DateTime, 'expires_at');
    echo 'invited a guest until ', $issued->getExpiresAt()->format(DATE_ATOM), "\n";
}

function update(ChatsApi $chats, string $chatId): void
{
    // A merge patch: null removes a member, what is not named stays.
    $updated = $chats->updateChat($chatId, new UpdateChatRequest([
        'metadata' => ['department' => null, 'resolution' => 'answered'],
        'status' => ChatStatus::CLOSED,
    ]));
    $expected = [...METADATA, 'resolution' => 'answered'];
    unset($expected['department']);
    check(arrays($updated->getConfig()->getMetadata()) === $expected, 'metadata');
    check($updated->getStatus() === ChatStatus::CLOSED && $updated->getTitle() === TITLE, 'status and title');
    check($updated->getMessageCount() === 2, 'message_count');
    echo "updated {$updated->getStatus()}\n";
}

function beRefused(ChatsApi $chats, MessagesApi $messages, string $url, string $chatId): void
{
    $problem = problemOf(400, fn () => $chats->listUserChats(USER, cursor: 'nonsense'));
    check($problem->getCode() === 'invalid_request', 'code');
    check($problem->getErrors()[0]->getPointer() === '/query/cursor', 'pointer');

    $problem = problemOf(404, fn () => $chats->listUserChats(bin2hex(random_bytes(16))));
    check($problem->getCode() === 'user_not_found', 'code');

    $late = new SendMessageRequest(['content' => 'Late']);
    $problem = problemOf(409, fn () => $messages->sendMessage($chatId, $late));
    check($problem->getCode() === 'chat_closed', 'code');

    $large = new CreateChatRequest(['user_id' => USER, 'metadata' => ['note' => str_repeat('x', 300_000)]]);
    $problem = problemOf(413, fn () => $chats->createChat($large));
    check($problem->getCode() === 'payload_too_large', 'code');

    $stranger = new ChatsApi(config: configurationOf($url, 'wrong'));
    $problem = problemOf(401, fn () => $stranger->getChat($chatId));
    check($problem->getCode() === 'unauthorized', 'code');
}

function delete(ChatsApi $chats, array $created): void
{
    foreach ($created as $chatId) {
        $deleted = $chats->deleteChat($chatId);
        check($deleted->getSuccess() && $deleted->getDeletedAt() instanceof DateTime, 'success and deleted_at');
    }
    $problem = problemOf(404, fn () => $chats->getChat($created[0]));
    check($problem->getCode() === 'chat_not_found', 'code');
    echo 'deleted ', count($created), "\n";
}

/** Why the call is refused. Every failure carries a problem document, as an object. */
function problemOf(int $status, callable $call): Problem
{
    try {
        $call();
    } catch (ApiException $refused) {
        $problem = $refused->getResponseObject();
        check($problem instanceof Problem, 'a problem');
        check($refused->getCode() === $status && $problem->getStatus() === $status, "status $status");
        check($problem->getRequestId() !== '', 'request_id');
        echo "refused: {$problem->getStatus()} {$problem->getCode()}\n";
        return $problem;
    }
    throw new RuntimeException('was not refused');
}

/** @return string[] */
function ids(array $chats): array
{
    return array_map(fn ($chat) => $chat->getId(), $chats);
}

/** Metadata as arrays at all depths: the client leaves the objects inside it as `stdClass`. */
function arrays(array $metadata): array
{
    return json_decode(json_encode($metadata), true);
}

function check(bool $holds, string $what): void
{
    if (!$holds) {
        throw new RuntimeException("The server answered something else than expected: $what.");
    }
}

main();
