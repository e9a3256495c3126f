/* Questions to the server's benches: answered at once, or worked at with a bar and a way to cancel.

   new Asking(model, say)        say(sentence): where a refusal is read
     .element                    the bar
     .ask(bench, body)           Promise of the result; null where it was refused, cancelled, or a later question to the
                                 same bench took its place
     .close() */

import { h } from "../live/dom.js";
import { ask, askJson, posted } from "../live/net.js";
import { percent } from "../live/numbers.js";

export class Asking {
  /** @type {Map<string, number>} */
  #turns = new Map();
  /** @type {Map<string, string>} */
  #jobs = new Map();
  closed = false;

  /**
   * @param {{name: string}} model
   * @param {(sentence: string) => void} say
   */
  constructor(model, say) {
    this.model = model.name;
    this.say = say;
    this.element = h("div", { class: "working", role: "status", hidden: true, "data-testid": "lab-progress" });
  }

  /**
   * @param {string} bench
   * @param {object} body
   */
  async ask(bench, body = {}) {
    const turn = (this.#turns.get(bench) ?? 0) + 1;
    this.#turns.set(bench, turn);
    const current = () => !this.closed && this.#turns.get(bench) === turn;
    this.#forget(bench); // the one before is waited for no longer
    try {
      let job = await askJson(`api/lab/ask/${bench}`, { model: this.model }, posted(body));
      if (!current()) return this.#drop(job);
      this.#jobs.set(bench, job.job);
      while (job.result === null && job.state !== "cancelled") {
        this.#show(bench, job);
        job = await askJson(`api/lab/job/${job.job}`);
        if (!current()) return null;
      }
      if (job.state === "cancelled") this.say("Cancelled; nothing of it was kept.");
      return job.result;
    } catch (error) {
      if (current()) this.say(/** @type {Error} */ (error).message);
      return null;
    } finally {
      if (current()) {
        this.#jobs.delete(bench);
        this.element.hidden = this.#jobs.size === 0;
      }
    }
  }

  #show(bench, { job, share, stage, seconds }) {
    const cancel = h("button", { type: "button", class: "link", onclick: () => this.cancel(job) }, "Cancel");
    const bar = h("progress", { max: 1, value: share, "aria-label": `${bench}: ${stage}` });
    if (this.element.dataset.job !== job || this.element.hidden) {
      this.element.replaceChildren(h("span", {}), bar, cancel);
      this.element.dataset.job = job;
    }
    const [words, old] = this.element.children;
    words.textContent = `${stage} \u00b7 ${percent(share)} \u00b7 ${seconds.toFixed(0)} s`;
    /** @type {HTMLProgressElement} */ (old).value = share;
    this.element.hidden = false;
  }

  /** @param {string} job */
  cancel(job) {
    return ask(`api/lab/job/${job}`, {}, { method: "DELETE" }).catch(() => null);
  }

  #drop(job) {
    if (job.result === null) this.cancel(job.job);
    return null;
  }

  #forget(bench) {
    const job = this.#jobs.get(bench);
    if (job) this.cancel(job);
    this.#jobs.delete(bench);
  }

  close() {
    this.closed = true;
    for (const job of this.#jobs.values()) this.cancel(job);
  }
}
