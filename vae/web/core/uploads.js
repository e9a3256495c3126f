/* Why a file did not arrive at one of Streamlit's uploaders, in sight and as a sentence with the remedy.

   They keep the reason in a hint that only shows under a mouse, in the words of their HTTP library ("AxiosError: Request
   failed with status code 413"), whatever the cause.
   watch(): one watch for the whole document */

import { h } from "../live/dom.js";
import { CUT_OFF, TOO_LARGE } from "../live/net.js";

const UPLOADER = '[data-testid="stFileUploader"]';
const REASON = '[data-testid="stFileChip"] [role="alert"]';
const STYLE = "margin: 0.5rem 0 0; font-size: 0.875rem;";
const SENTENCES = /** @type {[RegExp, string][]} */ ([
  [/\b413\b/, TOO_LARGE],
  [/\b429\b/, "Too many uploads from this address are under way; choose the file again in a moment."],
  [/axios|network|request/i, CUT_OFF],
]);

/** @param {string} said */
function sentence(said) {
  return SENTENCES.find(([cause]) => cause.test(said))?.[1] ?? said.replace(/^Error: /, "");
}

function tell() {
  for (const uploader of document.querySelectorAll(UPLOADER)) {
    const reasons = [...uploader.querySelectorAll(REASON)].map((reason) => sentence(reason.textContent ?? ""));
    const text = [...new Set(reasons)].join(" ");
    const told = uploader.querySelector(".upload-told");
    if (!text) told?.remove();
    else if (!told) uploader.append(h("p", { class: "upload-told", style: STYLE }, text));
    else if (told.textContent !== text) told.textContent = text;
  }
}

export function watch() {
  new MutationObserver(tell).observe(document.body, { childList: true, subtree: true, characterData: true });
}
