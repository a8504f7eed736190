/**
 * Node's HTTP. An import statement evaluates every member of a module, and `WebSocket` of node:http loads a second client
 * of 10 MiB that nobody here uses.
 */
export const http = process.getBuiltinModule("node:http");
export const https = process.getBuiltinModule("node:https");
