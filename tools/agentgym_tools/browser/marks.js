// Draws a box and a number for each element onto a picture of the page.
async ([picture, marks]) => {
  const image = new Image();
  image.src = `data:image/png;base64,${picture}`;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  pen.font = 'bold 11px sans-serif';
  pen.textBaseline = 'top';
  const colours = ['#b00020', '#0050b3', '#00695c', '#6a1b9a', '#8d4500'];
  marks.forEach(([id, left, top, width, height], index) => {
    pen.strokeStyle = pen.fillStyle = colours[index % colours.length];
    pen.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
    const wide = pen.measureText(id).width + 4;
    const x = Math.min(Math.max(left, 0), canvas.width - wide);
    const y = Math.min(Math.max(top, 0), canvas.height - 12);
    pen.fillRect(x, y, wide, 12);
    pen.fillStyle = 'white';
    pen.fillText(id, x + 2, y + 1);
  });
  const blob = await canvas.convertToBlob({ type: 'image/png' });
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
