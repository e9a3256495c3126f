/* A link to copy. On a page that came by plain http browsers give no clipboard: there the text is selected, and copied in
   the old way where the browser still knows it.

   render({data: {link}, parentElement}), unmount(root): see live/component.js */

import { h } from "../live/dom.js";

export function render({ data, parentElement: root }) {
  const told = h("p", { class: "quiet", role: "status" });
  const field = h("input", { type: "text", readonly: true, value: data.link, "aria-label": "Link", onfocus: () => field.select() });
  const copy = async () => {
    field.focus();
    field.select();
    const copied = await navigator.clipboard?.writeText(data.link).then(() => true, () => false) || document.execCommand("copy");
    told.textContent = copied ? "Copied." : "The link is selected: copy it with Ctrl+C. Over https this button copies it.";
  };
  const button = h("button", { type: "button", class: "button", onclick: copy }, "Copy");
  root.querySelector(".frame")?.replaceChildren(h("div", { class: "live copy" }, h("div", { class: "copy-row" }, field, button), told));
}

export function unmount() {}
