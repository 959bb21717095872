# frozen_string_literal: true

# A chat's life, by the client that openapi-generator makes for Ruby.
#
#     ./generate.sh
#     PARLOR_API_KEY=your-tenant-api-key ruby -I client/lib scenario.rb
#
# The server is expected at http://localhost:8000, or where PARLOR_URL says.

require 'json'
require 'parlor_client'
require 'securerandom'
require 'uri'

# A slash and a letter beyond ASCII: the client has to encode the path.
USER = "zoë/#{SecureRandom.uuid}"
TITLE = 'Grüße, 世界 🦊'
# The client reads the names of members as strings, and of those within members as symbols.
METADATA = {
  'department' => 'technical',
  'tags' => %w[Grüße 世界 🦊],
  'order' => { items: [{ sku: nil, count: 2**100 }] },
  'nothing' => nil
}.freeze
DAY = 24 * 60 * 60

def main
  url = ENV.fetch('PARLOR_URL', 'http://localhost:8000')
  key = ENV.fetch('PARLOR_API_KEY', '')
  abort "Set PARLOR_API_KEY to your tenant's API key." if key.empty?

  client = client_of(url, key)
  chats = ParlorClient::ChatsApi.new(client)
  messages = ParlorClient::MessagesApi.new(client)
  created = create(chats)
  read(chats, created)
  list_by_offset(chats, created)
  list_by_cursor(chats, created)
  list_by_metadata(chats, created)
  talk(messages, created[0])
  invite(ParlorClient::TicketsApi.new(client), created[0])
  update(chats, created[0])
  be_refused(chats, messages, url, created[0])
  delete(chats, created)
  puts 'done'
end

def client_of(url, key)
  address = URI(url)
  configuration = ParlorClient::Configuration.new do |config|
    config.scheme = address.scheme
    config.host = "#{address.host}:#{address.port}"
    config.api_key['X-API-Key'] = key
    # An array in a query is sent as metadata=a&metadata=b, not as metadata[]=a.
    config.params_encoding = :multi
  end
  ParlorClient::ApiClient.new(configuration)
end

def create(chats)
  request = ParlorClient::CreateChatRequest.new(user_id: USER, title: TITLE, metadata: METADATA)
  key = SecureRandom.uuid
  chat = chats.create_chat(request, idempotency_key: key)
  check chat.user_id == USER
  check chat.title == TITLE
  check chat.config.metadata == METADATA
  check chat.created_at.is_a?(Time) && chat.updated_at == chat.created_at
  check chat.last_message_at.nil?
  # The same intent again creates no second chat, and another intent needs another key.
  check chats.create_chat(request, idempotency_key: key).id == chat.id
  other_request = ParlorClient::CreateChatRequest.new(user_id: USER)
  problem = problem_of(422) { chats.create_chat(other_request, idempotency_key: key) }
  check problem.code == 'idempotency_key_reused'

  others = Array.new(2) { chats.create_chat(other_request) }
  puts "created #{chat.id}"
  [chat, *others].map(&:id)
end

def read(chats, created)
  chat = chats.get_chat(created[0])
  check chat.config.metadata == METADATA
  check chat.status == ParlorClient::ChatStatus::ACTIVE && chat.message_count.zero?
  puts "read #{chat.title}"
end

def list_by_offset(chats, created)
  first = chats.list_user_chats(USER, limit: 2)
  check first.total == 3 && first.has_more
  second = chats.list_user_chats(USER, limit: 2, offset: 2)
  check second.offset == 2 && !second.has_more
  check((first.chats + second.chats).map(&:id) == created.reverse)
  puts "listed by offset: #{first.total}"
end

def list_by_cursor(chats, created)
  page = chats.list_user_chats(USER, limit: 2, order: 'asc')
  found = page.chats.map(&:id)
  until page.next_cursor.nil?
    page = chats.list_user_chats(USER, limit: 2, order: 'asc', cursor: page.next_cursor)
    check page.total.nil? && page.offset.nil?
    found += page.chats.map(&:id)
  end
  check found == created
  puts "listed by cursor: #{found.length}"
end

def list_by_metadata(chats, created)
  members = ['department:technical', 'nothing:null']
  page = chats.list_chats(user_id: USER, status: ParlorClient::ChatStatus::ACTIVE,
                          created_after: Time.now - DAY, metadata: members)
  check page.chats.map(&:id) == created[0, 1]
  # An offset other than UTC's.
  tomorrow = (Time.now + DAY).getlocal('+05:30')
  check chats.list_chats(user_id: USER, created_before: tomorrow).chats.length == created.length
  check chats.list_chats(user_id: USER, created_after: tomorrow).chats.empty?
  puts "listed by metadata: #{page.chats.length}"
end

def talk(messages, chat_id)
  request = ParlorClient::SendMessageRequest.new(
    content: "Hallo 👋\nzweite Zeile", metadata: { 'seen' => nil }, client_message_id: '1'
  )
  sent = messages.send_message(chat_id, request)
  check sent.seq == 1 && sent.sender_role == 'user' && sent.sender_id == USER
  check sent.metadata == { 'seen' => nil } && sent.media_url.nil?
  messages.send_message(chat_id, ParlorClient::SendMessageRequest.new(content: 'Hello!', sender_role: 'assistant'))
  page = messages.list_messages(chat_id)
  check page.messages.map(&:content) == ["Hallo 👋\nzweite Zeile", 'Hello!']
  later = messages.list_messages(chat_id, after_seq: 1)
  check later.messages.map(&:sender_role) == ['assistant']
  puts "sent and listed messages: #{page.total}"
end

def invite(tickets, chat_id)
  issued = tickets.create_ticket(chat_id, ParlorClient::CreateTicketRequest.new(user_id: 'guest'))
  check issued.ticket.start_with?('plt_') && issued.expires_at.is_a?(Time)
  puts "invited a guest until #{issued.expires_at}"
end

def update(chats, chat_id)
  # A merge patch: nil removes a member, what is not named stays.
  patch = ParlorClient::UpdateChatRequest.new(
    metadata: { 'department' => nil, 'resolution' => 'answered' }, status: ParlorClient::ChatStatus::CLOSED
  )
  updated = chats.update_chat(chat_id, patch)
  check updated.config.metadata == METADATA.except('department').merge('resolution' => 'answered')
  check updated.status == 'closed' && updated.title == TITLE && updated.message_count == 2
  puts "updated #{updated.status}"
end

def be_refused(chats, messages, url, chat_id)
  problem = problem_of(400) { chats.list_user_chats(USER, cursor: 'nonsense') }
  check problem.code == 'invalid_request' && problem.errors[0].pointer == '/query/cursor'

  problem = problem_of(404) { chats.list_user_chats(SecureRandom.uuid) }
  check problem.code == 'user_not_found'

  late = ParlorClient::SendMessageRequest.new(content: 'Late')
  problem = problem_of(409) { messages.send_message(chat_id, late) }
  check problem.code == 'chat_closed'

  large = ParlorClient::CreateChatRequest.new(user_id: USER, metadata: { 'note' => 'x' * 300_000 })
  problem = problem_of(413) { chats.create_chat(large) }
  check problem.code == 'payload_too_large'

  stranger = ParlorClient::ChatsApi.new(client_of(url, 'wrong'))
  problem = problem_of(401) { stranger.get_chat(chat_id) }
  check problem.code == 'unauthorized'
end

def delete(chats, created)
  created.each do |chat_id|
    deleted = chats.delete_chat(chat_id)
    check deleted.success && deleted.deleted_at.is_a?(Time)
  end
  problem = problem_of(404) { chats.get_chat(created[0]) }
  check problem.code == 'chat_not_found'
  puts "deleted #{created.length}"
end

# Why the call is refused. Every failure carries a problem document, which becomes an object here.
def problem_of(status)
  yield
rescue ParlorClient::ApiError => e
  problem = ParlorClient::Problem.build_from_hash(JSON.parse(e.response_body))
  check e.code == status && problem.status == status && problem.request_id
  puts "refused: #{problem.status} #{problem.code}"
  problem
else
  raise 'was not refused'
end

def check(holds)
  raise 'The server answered something else than expected.' unless holds
end

main
