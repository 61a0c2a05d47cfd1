"use strict";
(() => {
  const said = document.getElementById("said"), go = document.getElementById("go");
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (buffer) => {
    let s = "";
    for (const b of new Uint8Array(buffer)) s += String.fromCharCode(b);
    return btoa(s);
  };
  const list = (ids) => (ids || []).map((id) => ({ type: "public-key", id: bytes(id) }));
  let step = null;

  const next = async (result) => {
    const answer = await fetch(location.pathname + "/next", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(result), redirect: "error",
    });
    step = await answer.json();
    said.textContent = step.said || "";
    go.disabled = !step.create && !step.get;
    if (step.button) go.textContent = step.button;
    if (go.disabled) go.hidden = true;
  };

  const create = async (c) => {
    const made = await navigator.credentials.create({ publicKey: {
      rp: { id: "localhost", name: "Stint on this machine" },
      user: { id: bytes(c.user_id), name: c.user, displayName: c.user },
      challenge: bytes(c.challenge),
      pubKeyCredParams: c.algorithms.map((alg) => ({ type: "public-key", alg })),
      authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
      excludeCredentials: list(c.exclude), attestation: "none", timeout: 300000,
    } });
    return { client_data: text(made.response.clientDataJSON), attestation: text(made.response.attestationObject) };
  };

  const get = async (c) => {
    const used = await navigator.credentials.get({ publicKey: {
      rpId: "localhost", challenge: bytes(c.challenge), allowCredentials: list(c.allow), userVerification: "required", timeout: 300000,
    } });
    return { credential: text(used.rawId), client_data: text(used.response.clientDataJSON),
      authenticator_data: text(used.response.authenticatorData), signature: text(used.response.signature) };
  };

  go.addEventListener("click", async () => {
    go.disabled = true;
    let result;
    try {
      result = step.create ? await create(step.create) : await get(step.get);
    } catch (e) {
      said.textContent = e.name === "InvalidStateError"
        ? "This device has a passkey of yours already. Choose another one, such as a security key, or go back to the terminal."
        : "The passkey was not used (" + e.name + "). Try again, or go back to the terminal.";
      go.disabled = false;
      return;
    }
    try {
      await next(result);
    } catch (e) {
      said.textContent = "The terminal does not answer any more.";
    }
  });

  next(null).catch(() => { said.textContent = "The terminal does not answer any more."; });
})();
