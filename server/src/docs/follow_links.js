// Follows the links of an answer: what the answer knows is filled in where a linked operation has a parameter for it. So each
// operation on a chat is ready for the chat that was created last.
const swaggerUi = window.SwaggerUIBundle;
window.SwaggerUIBundle = Object.assign(
  options => swaggerUi({ ...options, responseInterceptor: followLinks }),
  swaggerUi,
);

function followLinks(response) {
  const { paths = {} } = window.ui.specSelectors.specJson().toJS();
  const path = new URL(response.url).pathname;
  for (const operation of Object.values(paths[path] ?? {})) {
    for (const link of Object.values(operation.responses?.[response.status]?.links ?? {})) {
      fillIn(paths, link, JSON.parse(response.text));
    }
  }
  return response;
}

// A link's expressions are of the form `$response.body#/id`.
function fillIn(paths, { operationId, parameters }, body) {
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      if (operation.operationId !== operationId) continue;
      for (const [name, expression] of Object.entries(parameters)) {
        const value = body[expression.split('#/')[1]];
        window.ui.specActions.changeParam([path, method], name, 'path', value, false);
      }
    }
  }
}
