/* The Tab key into what one of Streamlit's popovers has opened, and back: it lies at the end of the page, behind
   everything that the page has. When it closes under the hand, its button has the hand again.

   watch(): one watch for the whole document */

const BUTTON = '[data-testid="stPopoverButton"]';
const OPEN = `${BUTTON}[aria-expanded="true"]`;
const BODY = '[data-testid="stPopoverBody"]';

/**
 * The button of the popover that the focus is in, and the key under which a run of the page may put another in its place.
 * @type {{button: HTMLElement, key: string} | null}
 */
let left = null;

/** @param {string} selector */
const find = (selector) => /** @type {HTMLElement | null} */ (document.querySelector(selector));

/** All elements, those in the shadow of others too. @param {ParentNode} root @returns {HTMLElement[]} */
const within = (root) => [...root.querySelectorAll("*")].flatMap((e) => [/** @type {HTMLElement} */ (e), ...(e.shadowRoot ? within(e.shadowRoot) : [])]);

/** While the focus is elsewhere, Streamlit has the stops' own tabindex in data-tabindex. @param {ParentNode} body */
const stops = (body) => within(body).filter((e) => Number(e.dataset.tabindex ?? e.tabIndex) >= 0 && !e.matches(":disabled") && e.getClientRects().length);

function focused() {
  let at = document.activeElement;
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
  return at;
}

/** @param {KeyboardEvent} event */
function step(event) {
  const [body, button] = [BODY, OPEN].map(find);
  if (event.key !== "Tab" || !body || !button) return;
  const at = focused();
  const all = stops(body);
  if (at === button && !event.shiftKey && all.length) all[0].focus();
  else if (at === all[0] && event.shiftKey) button.focus();
  else {
    if (at === all[all.length - 1] && !event.shiftKey) button.focus(); // and on from there
    return;
  }
  event.preventDefault();
}

function hold() {
  const at = document.activeElement;
  const button = at?.closest(BODY) ? find(OPEN) : null;
  const place = button?.closest('[class*="st-key-"]');
  if (button) left = { button, key: place?.querySelectorAll(BUTTON).length === 1 ? place.className.match(/st-key-\S+/)?.[0] ?? "" : "" };
  else if (at !== document.body) left = null;
}

function giveBack() {
  if (!left || find(BODY) || document.activeElement !== document.body) return;
  const { button, key } = left;
  left = null;
  (button.isConnected || !key ? button : find(`.${key} ${BUTTON}`))?.focus();
}

export function watch() {
  document.addEventListener("keydown", step, true);
  document.addEventListener("focusin", hold);
  new MutationObserver(giveBack).observe(document.body, { childList: true, subtree: true });
}
