/* One view for each place that Streamlit mounts a component in.

   component(View) -> {render, unmount}: what the page's script is asked for
     render({data, parentElement, setStateValue, setTriggerValue}) is called at mount and after every rerun. A new model
     gets a new View(model); its .element fills the frame, .update(args) takes the data, .close() lets go.

   Python sends {data} and takes setStateValue(name, value), which stays, and setTriggerValue(name, value), which does not. */

/**
 * @typedef {object} Args
 * @property {any} data
 * @property {HTMLElement} parentElement
 * @property {(name: string, value: any) => void} setStateValue
 * @property {(name: string, value: any) => void} setTriggerValue
 */
/** @typedef {{element: HTMLElement, update(args: Args): void, close(): void}} View */

/** @param {new (model: import("./engine.js").Model) => View} View */
export function component(View) {
  /** @type {WeakMap<HTMLElement, {key: string, view: View}>} */
  const shown = new WeakMap();

  /** @param {Args} args */
  function render(args) {
    const { data, parentElement: root } = args;
    const key = `${data.model.name}/${data.model.digest}`;
    let held = shown.get(root);
    if (held?.key !== key) {
      held?.view.close();
      held = { key, view: new View(data.model) };
      root.querySelector(".frame")?.replaceChildren(held.view.element);
      shown.set(root, held);
    }
    held.view.update(args);
  }

  /** @param {HTMLElement} root */
  function unmount(root) {
    shown.get(root)?.view.close();
    shown.delete(root);
  }

  return { render, unmount };
}
