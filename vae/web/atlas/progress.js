/* A long computation on the server, with a bar over the map and a way to cancel it.

   new Progress(atlas)
     .element
     .run(name, wanted)   Promise of whether it was done; it stops waiting once wanted() is false */

import { h, pause } from "../live/dom.js";
import { percent } from "../live/numbers.js";

const POLL_MS = 400;

export class Progress {
  /** @param {import("./atlas.js").Atlas} atlas */
  constructor(atlas) {
    this.atlas = atlas;
    this.element = h("div", { class: "progress", hidden: true, role: "status" });
  }

  /**
   * @param {string} name
   * @param {() => boolean} wanted
   */
  async run(name, wanted) {
    const { atlas, element } = this;
    const { server } = atlas;
    const begun = await atlas.guard(() => server.json("compute", { name }, null, { method: "POST" }));
    if (!begun) return false;
    const bar = h("progress", { max: 1, value: 0 });
    const words = h("span", {}, "Starting");
    const cancel = () => atlas.guard(() => server.ask("compute", { name }, null, { method: "DELETE" }));
    element.replaceChildren(words, bar, h("button", { type: "button", class: "link", onclick: cancel }, "Cancel"));
    element.hidden = false;
    let done = false;
    while (!done && !atlas.closed && wanted()) {
      const job = await atlas.guard(() => server.json("compute", { name }));
      if (!job) break;
      words.textContent = `${job.stage} \u00b7 ${percent(job.progress, true)} \u00b7 ${job.seconds.toFixed(0)} s`;
      bar.value = job.progress;
      done = job.state === "done";
      if (!done && job.state !== "running") {
        atlas.say(job.state === "failed" ? job.error : "Cancelled; nothing of it was kept.");
        break;
      }
      if (!done) await pause(POLL_MS);
    }
    if (element.contains(bar)) element.hidden = true; // unless another one has begun meanwhile
    return done;
  }
}
