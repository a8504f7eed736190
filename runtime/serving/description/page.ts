/** A page that shows the OpenAPI document and sends its requests. It needs nothing but this server, and nothing else may be loaded into it. */
import { createHash } from "node:crypto";
import type { Reply } from "../calls.ts";

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #1c2733; }
h2 { margin: 2rem 0 .5rem; border-bottom: 1px solid #d4dbe3; }
details { border: 1px solid #d4dbe3; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
summary b { display: inline-block; width: 3.5rem; color: #0b5cad; }
textarea { width: 100%; box-sizing: border-box; font: 13px/1.4 ui-monospace, monospace; }
pre { background: #f3f5f8; padding: .6rem; overflow: auto; max-height: 24rem; white-space: pre-wrap; word-break: break-all; }
button { font: inherit; margin: .4rem 0; }
`;

// Everything from the document is set as text, never as markup.
const SCRIPT = `
const make = (tag, text, parent) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
  return element;
};
const send = async (method, path, body, answer) => {
  const startedAt = performance.now();
  answer.textContent = "…";
  try {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(path, { method, body, headers });
    const text = await response.text();
    answer.textContent = response.status + " in " + (performance.now() - startedAt).toFixed(1) + " ms\\n" + text;
  } catch (error) {
    answer.textContent = String(error);
  }
};
const show = (method, path, operation, parent) => {
  const box = make("details", undefined, parent);
  const title = make("summary", undefined, box);
  make("b", method.toUpperCase(), title);
  make("code", path, title);
  title.append(" " + operation.summary);
  const content = operation.requestBody?.content["application/json"];
  const body = content === undefined ? undefined : make("textarea", undefined, box);
  if (body !== undefined) {
    body.rows = 8;
    body.value = JSON.stringify(content.example);
  }
  const button = make("button", "Send", box);
  const answer = make("pre", "", box);
  button.addEventListener("click", () => send(method.toUpperCase(), path, body?.value, answer));
};
const start = async () => {
  const main = document.querySelector("main");
  const api = await (await fetch("/openapi.json")).json();
  make("p", api.info.description + " Version " + api.info.version + ".", main);
  const sections = new Map();
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags[0];
      if (!sections.has(tag)) {
        const section = make("section", undefined, main);
        make("h2", tag, section);
        sections.set(tag, section);
      }
      show(method, path, operation, sections.get(tag));
    }
  }
};
start().catch((error) => make("p", String(error), document.querySelector("main")));
`;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Modelwright</title>
<style>${STYLE}</style>
</head>
<body>
<main><h1>Modelwright</h1><p><a href="/openapi.json">OpenAPI document</a></p></main>
<script type="module">${SCRIPT}</script>
</body>
</html>
`;

const hashOf = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const POLICY = [
  "default-src 'none'",
  `style-src ${hashOf(STYLE)}`,
  `script-src ${hashOf(SCRIPT)}`,
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const PAGE_REPLY: Reply = {
  status: 200,
  headers: {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
  },
  body: PAGE,
};
