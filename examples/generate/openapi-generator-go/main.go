// A chat's life, by the client that openapi-generator makes for Go. Needs the standard library only.
//
//	./generate.sh
//	PARLOR_API_KEY=your-tenant-api-key go run .
//
// The server is expected at http://localhost:8000, or where PARLOR_URL says.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"time"

	parlor "example.com/scenario/client"
)

const title = "Grüße, 世界 🦊"

var (
	// A slash and a letter beyond ASCII: the client has to encode the path.
	user     = "zoë/" + random()
	metadata = map[string]interface{}{
		"department": "technical",
		"tags":       []interface{}{"Grüße", "世界", "🦊"},
		// encoding/json reads every number as a float64; this is the last integer before it skips some.
		"order":   map[string]interface{}{"items": []interface{}{map[string]interface{}{"sku": nil, "count": float64(1<<53 - 1)}}},
		"nothing": nil,
	}
)

func main() {
	url := os.Getenv("PARLOR_URL")
	if url == "" {
		url = "http://localhost:8000"
	}
	key := os.Getenv("PARLOR_API_KEY")
	if key == "" {
		fmt.Fprintln(os.Stderr, "Set PARLOR_API_KEY to your tenant's API key.")
		os.Exit(1)
	}
	configuration := parlor.NewConfiguration()
	configuration.Servers = parlor.ServerConfigurations{{URL: url}}
	client := parlor.NewAPIClient(configuration)
	ctx := withKey(key)

	created := create(ctx, client)
	read(ctx, client, created)
	listByOffset(ctx, client, created)
	listByCursor(ctx, client, created)
	listByMetadata(ctx, client, created)
	talk(ctx, client, created[0])
	invite(ctx, client, created[0])
	update(ctx, client, created[0])
	beRefused(ctx, client, created[0])
	remove(ctx, client, created)
	fmt.Println("done")
}

// The key travels in the context of each call.
func withKey(key string) context.Context {
	keys := map[string]parlor.APIKey{"ApiKey": {Key: key}}
	return context.WithValue(context.Background(), parlor.ContextAPIKeys, keys)
}

func create(ctx context.Context, client *parlor.APIClient) []string {
	request := parlor.NewCreateChatRequest(user)
	request.SetTitle(title)
	request.SetMetadata(metadata)
	intent := client.ChatsAPI.CreateChat(ctx).CreateChatRequest(*request).IdempotencyKey(random())
	chat := given(intent.Execute())
	check(chat.UserId == user, "user_id")
	check(chat.Title == title, "title")
	check(reflect.DeepEqual(chat.Config.Metadata, metadata), "metadata")
	check(!chat.CreatedAt.IsZero() && chat.UpdatedAt.Equal(chat.CreatedAt), "created_at")
	check(chat.LastMessageAt.Get() == nil, "last_message_at")
	// The same intent again creates no second chat, and another intent needs another key.
	check(given(intent.Execute()).Id == chat.Id, "the same chat")

	other := parlor.NewCreateChatRequest(user)
	_, _, err := intent.CreateChatRequest(*other).Execute()
	check(problemOf(http.StatusUnprocessableEntity, err).Code == "idempotency_key_reused", "code")

	created := []string{chat.Id}
	for len(created) < 3 {
		created = append(created, given(client.ChatsAPI.CreateChat(ctx).CreateChatRequest(*other).Execute()).Id)
	}
	fmt.Println("created", chat.Id)
	return created
}

func read(ctx context.Context, client *parlor.APIClient, created []string) {
	chat := given(client.ChatsAPI.GetChat(ctx, created[0]).Execute())
	check(reflect.DeepEqual(chat.Config.Metadata, metadata), "metadata")
	check(chat.Status == "active" && chat.MessageCount == 0, "status and message_count")
	fmt.Println("read", chat.Title)
}

func listByOffset(ctx context.Context, client *parlor.APIClient, created []string) {
	first := given(client.ChatsAPI.ListUserChats(ctx, user).Limit(2).Execute())
	check(*first.Total.Get() == 3 && first.HasMore, "total and has_more")
	second := given(client.ChatsAPI.ListUserChats(ctx, user).Limit(2).Offset(2).Execute())
	check(*second.Offset.Get() == 2 && !second.HasMore, "offset and has_more")
	newestFirst := []string{created[2], created[1], created[0]}
	check(reflect.DeepEqual(ids(append(first.Chats, second.Chats...)), newestFirst), "chats")
	fmt.Println("listed by offset:", *first.Total.Get())
}

func listByCursor(ctx context.Context, client *parlor.APIClient, created []string) {
	list := client.ChatsAPI.ListUserChats(ctx, user).Limit(2).Order("asc")
	page := given(list.Execute())
	found := ids(page.Chats)
	for page.NextCursor.Get() != nil {
		page = given(list.Cursor(*page.NextCursor.Get()).Execute())
		check(page.Total.Get() == nil && page.Offset.Get() == nil, "no total and no offset")
		found = append(found, ids(page.Chats)...)
	}
	check(reflect.DeepEqual(found, created), "chats")
	fmt.Println("listed by cursor:", len(found))
}

func listByMetadata(ctx context.Context, client *parlor.APIClient, created []string) {
	members := []string{"department:technical", "nothing:null"}
	yesterday := time.Now().Add(-24 * time.Hour)
	list := client.ChatsAPI.ListChats(ctx).UserId(user)
	page := given(list.Status("active").CreatedAfter(yesterday).Metadata(members).Execute())
	check(len(page.Chats) == 1 && page.Chats[0].Id == created[0], "chats")
	// An offset other than UTC's.
	tomorrow := time.Now().Add(24 * time.Hour).In(time.FixedZone("", 5*60*60+30*60))
	check(len(given(list.CreatedBefore(tomorrow).Execute()).Chats) == len(created), "created_before")
	check(len(given(list.CreatedAfter(tomorrow).Execute()).Chats) == 0, "created_after")
	fmt.Println("listed by metadata:", len(page.Chats))
}

func talk(ctx context.Context, client *parlor.APIClient, chat string) {
	request := parlor.NewSendMessageRequest("Hallo 👋\nzweite Zeile")
	request.SetMetadata(map[string]interface{}{"seen": nil})
	request.SetClientMessageId("1")
	sent := given(client.MessagesAPI.SendMessage(ctx, chat).SendMessageRequest(*request).Execute())
	check(sent.Seq == 1 && sent.SenderRole == "user" && *sent.SenderId.Get() == user, "seq and sender")
	check(reflect.DeepEqual(sent.Metadata, map[string]interface{}{"seen": nil}), "metadata")
	check(sent.MediaUrl.Get() == nil, "media_url")

	reply := parlor.NewSendMessageRequest("Hello!")
	reply.SetSenderRole("assistant")
	given(client.MessagesAPI.SendMessage(ctx, chat).SendMessageRequest(*reply).Execute())

	page := given(client.MessagesAPI.ListMessages(ctx, chat).Execute())
	check(len(page.Messages) == 2, "two messages")
	check(page.Messages[0].Content == "Hallo 👋\nzweite Zeile" && page.Messages[1].Content == "Hello!", "content")
	later := given(client.MessagesAPI.ListMessages(ctx, chat).AfterSeq(1).Execute())
	check(len(later.Messages) == 1 && later.Messages[0].SenderRole == "assistant", "one later message")
	fmt.Println("sent and listed messages:", *page.Total.Get())
}

func invite(ctx context.Context, client *parlor.APIClient, chat string) {
	request := parlor.NewCreateTicketRequest("guest")
	issued := given(client.TicketsAPI.CreateTicket(ctx, chat).CreateTicketRequest(*request).Execute())
	check(strings.HasPrefix(issued.Ticket, "plt_") && !issued.ExpiresAt.IsZero(), "ticket and expires_at")
	fmt.Println("invited a guest until", issued.ExpiresAt)
}

func update(ctx context.Context, client *parlor.APIClient, chat string) {
	// A merge patch: null removes a member, what is not named stays.
	patch := parlor.NewUpdateChatRequest()
	patch.SetMetadata(map[string]interface{}{"department": nil, "resolution": "answered"})
	patch.SetStatus("closed")
	updated := given(client.ChatsAPI.UpdateChat(ctx, chat).UpdateChatRequest(*patch).Execute())
	expected := map[string]interface{}{"resolution": "answered"}
	for name, value := range metadata {
		if name != "department" {
			expected[name] = value
		}
	}
	check(reflect.DeepEqual(updated.Config.Metadata, expected), "metadata")
	check(updated.Status == "closed" && updated.Title == title && updated.MessageCount == 2, "what else is there")
	fmt.Println("updated", updated.Status)
}

func beRefused(ctx context.Context, client *parlor.APIClient, chat string) {
	_, _, err := client.ChatsAPI.ListUserChats(ctx, user).Cursor("nonsense").Execute()
	problem := problemOf(http.StatusBadRequest, err)
	check(problem.Code == "invalid_request" && problem.Errors[0].Pointer == "/query/cursor", "what is wrong")

	_, _, err = client.ChatsAPI.ListUserChats(ctx, random()).Execute()
	check(problemOf(http.StatusNotFound, err).Code == "user_not_found", "code")

	late := parlor.NewSendMessageRequest("Late")
	_, _, err = client.MessagesAPI.SendMessage(ctx, chat).SendMessageRequest(*late).Execute()
	check(problemOf(http.StatusConflict, err).Code == "chat_closed", "code")

	large := parlor.NewCreateChatRequest(user)
	large.SetMetadata(map[string]interface{}{"note": strings.Repeat("x", 300_000)})
	_, _, err = client.ChatsAPI.CreateChat(ctx).CreateChatRequest(*large).Execute()
	check(problemOf(http.StatusRequestEntityTooLarge, err).Code == "payload_too_large", "code")

	_, _, err = client.ChatsAPI.GetChat(withKey("wrong"), chat).Execute()
	check(problemOf(http.StatusUnauthorized, err).Code == "unauthorized", "code")
}

func remove(ctx context.Context, client *parlor.APIClient, created []string) {
	for _, chat := range created {
		deleted := given(client.ChatsAPI.DeleteChat(ctx, chat).Execute())
		check(deleted.Success && !deleted.DeletedAt.IsZero(), "success and deleted_at")
	}
	_, _, err := client.ChatsAPI.GetChat(ctx, created[0]).Execute()
	check(problemOf(http.StatusNotFound, err).Code == "chat_not_found", "code")
	fmt.Println("deleted", len(created))
}

func ids(chats []parlor.ChatSummary) []string {
	var ids []string
	for _, chat := range chats {
		ids = append(ids, chat.Id)
	}
	return ids
}

// What a call was answered with; there has to be something.
func given[T any](answer *T, _ *http.Response, err error) *T {
	check(err == nil, "an answer rather than ", err)
	return answer
}

// Why a call was refused. Every failure carries a problem document, as a struct.
func problemOf(status int32, err error) parlor.Problem {
	var refused *parlor.GenericOpenAPIError
	check(errors.As(err, &refused), "a refusal rather than ", err)
	problem, typed := refused.Model().(parlor.Problem)
	check(typed && problem.Status == status && problem.RequestId != "", "a problem with ", status)
	fmt.Println("refused:", problem.Status, problem.Code)
	return problem
}

func check(holds bool, what ...interface{}) {
	if !holds {
		panic("expected " + fmt.Sprint(what...))
	}
}

func random() string {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		panic(err)
	}
	return hex.EncodeToString(bytes)
}
