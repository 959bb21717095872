// A server of models that is played: it speaks as much of OpenAI's interface as Parlor asks for, and says what it is told.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export class Model {
  // Lets every question fail.
  isBroken = false;
  // The answer to the next questions, streamed word by word.
  answers = [];
  thinksMs = 0;
  pauseMs = 15;
  #server = createServer((request, response) => this.#answer(request, response));

  // Returns the base URL that Parlor is given.
  async start() {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${this.#server.address().port}/v1`;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request, response) {
    request.resume();
    const { isBroken } = this;
    const answer = isBroken ? '' : (this.answers.shift() ?? 'I have nothing to say.');
    await sleep(this.thinksMs);
    if (isBroken) {
      response.writeHead(400, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ error: { message: 'The played model fails.', type: 'invalid_request_error' } }));
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    for (const content of answer.match(/\s*\S+|\s+$/g)) {
      if (response.destroyed) return;
      response.write(event({ delta: { content }, finish_reason: null }));
      await sleep(this.pauseMs);
    }
    response.write(event({ delta: {}, finish_reason: 'stop' }));
    response.end('data: [DONE]\n\n');
  }
}

function event(choice) {
  const chunk = { id: 'played', object: 'chat.completion.chunk', created: 0, model: 'played', choices: [{ index: 0, ...choice }] };
  return `data: ${JSON.stringify(chunk)}\n\n`;
}
