/* What every page mends of Streamlit's own widgets.

   render(), unmount(): see live/component.js; one watch for the whole document, however often the page is built. */

import * as popovers from "./popovers.js";
import * as uploads from "./uploads.js";

let watching = false;

export function render() {
  if (watching) return;
  watching = true;
  popovers.watch();
  uploads.watch();
}

export function unmount() {}
