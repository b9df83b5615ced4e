/* The images that lie in flash; the assembler finds them in its include path. */
    .section .images, "a"
    .balign 8
    .global vhd_begin, vhd_end, qcow2_begin, qcow2_end, vhdx_begin, vhdx_end
vhd_begin:
    .incbin "disk.vhd"
vhd_end:
    .balign 8
qcow2_begin:
    .incbin "disk.qcow2"
qcow2_end:
    .balign 8
vhdx_begin:
    .incbin "disk.vhdx"
vhdx_end:
