// The slider that fades from the old picture to the new one.

const slider = document.getElementById("blend");
const above = document.querySelector(".frames .above");

function blend() {
  above.style.setProperty("--blend", String(slider.value / 100));
}

slider.addEventListener("input", blend);
blend();
