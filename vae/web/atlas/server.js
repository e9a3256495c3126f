/* What the map asks the server, always about one model: api/atlas/...

   new Server(model)
     .ask .json .floats(path, query, body)   with a body it is a POST
     .packed(path, query, body)              {head, data}, see floats.js
     .sprite(path, query, body)              tiles; query.tile is their side, 48 by default */

import { sprite } from "../live/canvas.js";
import { unpacked } from "../live/floats.js";
import { ask, posted } from "../live/net.js";

/** @typedef {import("../live/net.js").Query} Query */

const TILE = 48;

export class Server {
  /** @param {{name: string}} model */
  constructor(model) {
    this.model = model.name;
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   * @param {any} [body]
   * @param {RequestInit} [init]
   */
  ask(path, query = {}, body = null, init = {}) {
    return ask(`api/atlas/${path}`, { model: this.model, ...query }, { ...(body && posted(body)), ...init });
  }

  /** @type {(...request: Parameters<Server["ask"]>) => Promise<any>} */
  async json(...request) {
    return (await this.ask(...request)).json();
  }

  /** @type {(...request: Parameters<Server["ask"]>) => Promise<Float32Array<ArrayBuffer>>} */
  async floats(...request) {
    return new Float32Array(await (await this.ask(...request)).arrayBuffer());
  }

  /** @type {(...request: Parameters<Server["ask"]>) => Promise<{head: any, data: ArrayBuffer}>} */
  async packed(...request) {
    return unpacked(await (await this.ask(...request)).arrayBuffer());
  }

  /**
   * @param {string} path
   * @param {Query} query
   * @param {any} body
   */
  async sprite(path, query, body) {
    return sprite(await (await this.ask(path, query, body)).blob(), Number(query.tile ?? TILE));
  }
}
